//! The latest state of the gateway: the objects of `/status`, `/top` and `/stored`, read by the paths of their members.
//! A member that is missing is as one that is null: an older gateway may not have it.

use serde_json::Value;

use crate::semantics::calendar::DateTime;

/// A JSON object.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(pub Value);

impl Snapshot {
    /// The number at a path such as `/requests/per_second/all`; `None` where there is none.
    pub fn number(&self, path: &str) -> Option<f64> {
        number(&self.0, path)
    }

    /// The same as a whole number; 0 where there is none.
    pub fn count(&self, path: &str) -> u64 {
        count(&self.0, path)
    }

    pub fn text(&self, path: &str) -> &str {
        text(&self.0, path)
    }

    pub fn list(&self, path: &str) -> &[Value] {
        list(&self.0, path)
    }

    /// The numbers of the object at `path`, by their names.
    pub fn numbers(&self, path: &str) -> Vec<(&str, u64)> {
        let object = self.0.pointer(path).and_then(Value::as_object);
        let members = object.into_iter().flatten();
        members
            .filter_map(|(name, value)| Some((name.as_str(), value.as_u64()?)))
            .collect()
    }

    /// Seconds since the gateway was started.
    pub fn uptime(&self) -> Option<u64> {
        let (at, started) = (seconds(self.text("/at"))?, seconds(self.text("/started"))?);
        Some(at.saturating_sub(started))
    }
}

pub fn number(object: &Value, path: &str) -> Option<f64> {
    object.pointer(path).and_then(Value::as_f64)
}

pub fn count(object: &Value, path: &str) -> u64 {
    object.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

pub fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or("")
}

pub fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    let list = object.pointer(path).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Seconds since 1970 of a date as the admin API writes it: `2026-11-29T20:21:26.123Z`.
fn seconds(date: &str) -> Option<u64> {
    let part = |from: usize, to: usize| date.get(from..to)?.parse::<u32>().ok();
    let time = part(11, 13)? * 3600 + part(14, 16)? * 60 + part(17, 19)?;
    let date = DateTime {
        year: part(0, 4)?.into(),
        month: u8::try_from(part(5, 7)?).ok()?,
        day: u8::try_from(part(8, 10)?).ok()?,
        second_of_day: time,
    };
    u64::try_from(date.seconds_since_epoch()?).ok()
}

/// Requests a second and the like: as many digits as one can use.
pub fn rate(value: f64) -> String {
    match value {
        0.0 => "-".to_owned(),
        ..10.0 => format!("{value:.1}"),
        ..100_000.0 => format!("{value:.0}"),
        ..100_000_000.0 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.0}M", value / 1e6),
    }
}

/// A time in milliseconds, in four digits or fewer where that is possible; a dash where nothing was measured.
pub fn milliseconds(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) => match value {
            ..10.0 => format!("{value:.2}"),
            ..100.0 => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        },
    }
}

/// A share from 0 to 1, as a percentage.
pub fn percentage(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        // Not 100 while there are misses.
        Some(share) => format!("{:.1}", (share * 1000.0).floor() / 10.0),
    }
}

/// With a comma after each three digits.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bars for the latest `width` of `values`, as high as the greatest of them is full.
pub fn trend(values: &[Value], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<u64> = values.iter().filter_map(Value::as_u64).collect();
    let latest = &values[values.len().saturating_sub(width)..];
    let greatest = latest.iter().copied().max().unwrap_or(0);
    let bar = |value: &u64| match (*value * 7).checked_div(greatest) {
        None | Some(0) if *value == 0 => ' ',
        level => BARS[usize::try_from(level.unwrap_or(0)).unwrap_or(7).min(7)],
    };
    latest.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_read_by_their_paths_and_may_be_missing() {
        let snapshot = Snapshot(json!({
            "at": "2026-11-30T00:00:10.500Z", "started": "2026-11-29T23:59:00.000Z",
            "requests": { "hit_ratio": null, "in_flight": 7 }, "not_stored": { "private": 3 },
        }));
        assert_eq!(snapshot.uptime(), Some(70));
        assert_eq!(snapshot.number("/requests/hit_ratio"), None);
        assert_eq!(snapshot.count("/requests/in_flight"), 7);
        assert_eq!(snapshot.count("/requests/other"), 0);
        assert_eq!(snapshot.numbers("/not_stored"), [("private", 3)]);
        assert_eq!(Snapshot::default().uptime(), None);
    }

    #[test]
    fn numbers_are_short() {
        let rates = [0.0, 0.25, 12.0, 4321.7, 123_456.0].map(rate);
        assert_eq!(rates, ["-", "0.2", "12", "4322", "123k"]);
        let times = [None, Some(0.041), Some(12.34), Some(1234.5)].map(milliseconds);
        assert_eq!(times, ["-", "0.04", "12.3", "1234"]);
        assert_eq!(
            [Some(0.99999), Some(1.0)].map(percentage),
            ["99.9", "100.0"]
        );
        assert_eq!(
            [7, 1234, 1_234_567].map(thousands),
            ["7", "1,234", "1,234,567"]
        );
    }

    #[test]
    fn a_trend_has_the_latest_values() {
        let values: Vec<Value> = [9, 0, 1, 4, 8].map(Value::from).to_vec();
        assert_eq!(trend(&values, 4), " ▁▄█");
        assert_eq!(trend(&[Value::from(0)], 4), " ");
        assert_eq!(trend(&[], 4), "");
    }
}
