//! Readers of values: each makes one kind of thing of a [`Value`], or notes the mistake and returns `None`.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use super::units::{self, show_duration, show_size};
use super::value::Value;
use crate::semantics::time::DeltaSeconds;

/// A whole number within `bounds`.
pub fn count<'a, T>(bounds: RangeInclusive<T>) -> impl Fn(Value<'a>) -> Option<T>
where
    T: TryFrom<u64> + PartialOrd + fmt::Display,
{
    move |value| {
        let (low, high) = (bounds.start(), bounds.end());
        let DeValue::Integer(number) = value.item() else {
            return value.refuse_type(format!("a whole number from {low} to {high}"));
        };
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .filter(|number| bounds.contains(number))
            .or_else(|| value.refuse_text(format!("is not from {low} to {high}")))
    }
}

/// A part of all, from 0 to 1.
pub fn share(value: Value<'_>) -> Option<f64> {
    let read = match value.item() {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => return value.refuse_type("a number from 0 to 1"),
    };
    let within = read.filter(|number| (0.0..=1.0).contains(number));
    within.or_else(|| value.refuse_text("is not from 0 to 1"))
}

/// A size within `bounds`, in bytes.
pub fn size<'a, T: TryFrom<u64>>(bounds: RangeInclusive<u64>) -> impl Fn(Value<'a>) -> Option<T> {
    const WHAT: &str = "a size such as \"256MiB\" or \"64KiB\"";
    move |value| {
        let read = match value.item() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| "is not a size; write a number of bytes, or one with its unit"),
            _ => units::parse_size(&value.text(WHAT)?),
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(fault) => return value.refuse_text(format!("{fault}, such as \"256MiB\"")),
        };
        let fits = T::try_from(bytes).ok().filter(|_| bounds.contains(&bytes));
        fits.or_else(|| {
            let (low, high) = (show_size(*bounds.start()), show_size(*bounds.end()));
            value.refuse_text(format!("is not from {low} to {high}"))
        })
    }
}

/// A duration within `bounds`.
pub fn duration<'a>(bounds: RangeInclusive<Duration>) -> impl Fn(Value<'a>) -> Option<Duration> {
    const WHAT: &str = "a duration such as \"30s\" or \"1h30m\"";
    move |value| {
        if let DeValue::Integer(_) = value.item() {
            return value.refuse_text("has no unit; write a duration such as \"30s\" or \"5m\"");
        }
        let duration = match units::parse_duration(&value.text(WHAT)?) {
            Ok(duration) => duration,
            Err(fault) => {
                return value.refuse_text(format!("{fault}, such as \"30s\" or \"1h30m\""));
            }
        };
        if !bounds.contains(&duration) {
            let (low, high) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
            return value.refuse_text(format!("is not from {low} to {high}"));
        }
        Some(duration)
    }
}

/// A deadline: long enough to be met, short enough to be added to any time.
pub fn timeout(value: Value<'_>) -> Option<Duration> {
    duration(Duration::from_millis(1)..=YEAR)(value)
}

/// A lifetime in whole seconds, as messages carry it.
pub fn lifetime(value: Value<'_>) -> Option<DeltaSeconds> {
    let duration = duration(Duration::ZERO..=DeltaSeconds::MAX.as_duration())(value)?;
    if duration.subsec_nanos() != 0 {
        return value.refuse_text("is not in whole seconds, as lifetimes in HTTP are");
    }
    Some(DeltaSeconds::from_duration(duration))
}

/// `10.0.0.0/8`, or one address alone.
pub fn network(value: Value<'_>) -> Option<IpNet> {
    let text = value.text("a network such as \"10.0.0.0/8\"")?;
    let network = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network {
        Ok(network) => {
            let whole = network.trunc();
            if whole != network {
                value.warn_text(format!(
                    "means {whole}; for that address alone write \"{}\"",
                    network.addr()
                ));
            }
            Some(whole)
        }
        Err(_) => value.refuse_text("is not a network, such as \"10.0.0.0/8\" or \"fd00::/8\""),
    }
}

/// The longest deadline.
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// `true` or `false`.
pub fn flag(value: Value<'_>) -> Option<bool> {
    match value.item() {
        DeValue::Boolean(flag) => Some(*flag),
        _ => value.refuse_type("true or false, without quotes"),
    }
}

/// `"off"` for nothing, or what `read` reads.
pub fn or_off<'a, T>(
    read: impl FnOnce(Value<'a>) -> Option<T>,
) -> impl FnOnce(Value<'a>) -> Option<Option<T>> {
    move |value| match value.item() {
        DeValue::String(text) if text == "off" => Some(None),
        _ => read(value).map(Some),
    }
}

/// A string that is parsed; `what` says what is expected where there is no string.
pub fn parsed<'a, T>(what: &'static str) -> impl Fn(Value<'a>) -> Option<T>
where
    T: FromStr<Err: fmt::Display>,
{
    move |value| match value.text(what)?.parse() {
        Ok(parsed) => Some(parsed),
        Err(fault) => value.refuse_text(fault),
    }
}

/// One of these words.
pub fn one_of<'a, T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(Value<'a>) -> Option<T> {
    move |value| {
        let choices = || {
            let quoted: Vec<_> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            quoted.join(", ")
        };
        let DeValue::String(_) = value.item() else {
            return value.refuse_type(format!("one of {}", choices()));
        };
        let text = value.text("")?;
        let found = words.iter().find(|(word, _)| *word == text);
        found
            .map(|&(_, choice)| choice)
            .or_else(|| value.refuse_text(format!("is not one of {}", choices())))
    }
}

/// A list of what `read` reads; a single value counts as a list of one. The mistakes of all members are noted.
pub fn list<'a, T>(
    read: impl Fn(Value<'a>) -> Option<T>,
) -> impl FnOnce(Value<'a>) -> Option<Vec<T>> {
    move |value| {
        let members: Vec<Option<T>> = value.members().into_iter().map(read).collect();
        members.into_iter().collect()
    }
}

/// A list as [`list`] reads it, that has a member.
pub fn some_list<'a, T>(
    read: impl Fn(Value<'a>) -> Option<T>,
) -> impl FnOnce(Value<'a>) -> Option<Vec<T>> {
    move |value| match value.item() {
        DeValue::Array(members) if members.is_empty() => value.refuse_type("a list with a member"),
        _ => list(read)(value),
    }
}

/// The path of a file.
pub fn path(value: Value<'_>) -> Option<PathBuf> {
    let text = value.text("the path of a file")?;
    match text.is_empty() {
        true => value.refuse_text("is no path"),
        false => Some(PathBuf::from(text.as_ref())),
    }
}
