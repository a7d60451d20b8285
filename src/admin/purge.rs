//! The parameters of `/purge`, validated as a whole before anything is done.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::query::{Parameter, parameters};
use crate::config::units::parse_duration;
use crate::ledger::invalidation::{Invalidation, Matcher};
use crate::semantics::selector::Selector;

const PURGE_USAGE: &str = "name what to purge: POST /purge?url=/books/123, ?url=http://host/books/123, ?prefix=/books, \
     ?tag=NAME, ?route=NAME or ?all=true, and if you like &soft=true, &dry_run=true, &reason=WHY or, in a fleet, &wait=30s; or send the same as a JSON object";

/// A parameter's name and value.
pub(super) type Named = (String, String);

/// How long a purge waits until no gateway of the fleet serves any more what it covers: long enough for the lease of one that has
/// gone.
const WAIT: Duration = Duration::from_secs(5);

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Characters of a reason.
const MAX_REASON: usize = 200;

/// A purge that is asked for.
#[derive(Debug)]
pub(super) struct PurgeRequest {
    pub invalidation: Invalidation,
    /// Nothing is to be done: only told what would be.
    pub is_dry_run: bool,
    pub reason: Option<String>,
    /// How long it waits for the fleet.
    pub wait: Duration,
}

/// The parameters of a purge, from the query and from a JSON object of strings and lists of strings. Fails with what is
/// wrong when there is none, or one that is not known.
pub(super) fn named(request: &Request<Bytes>) -> Result<Vec<Named>, String> {
    let known = [
        "url", "prefix", "tag", "group", "route", "all", "soft", "dry_run", "reason", "wait",
    ];
    let mut named = from_query(request, &known, PURGE_USAGE)?;
    if !request.body().is_empty() {
        let content = from_content(request.body())?;
        content
            .iter()
            .try_for_each(|(name, value)| clean(name, value))?;
        named.extend(content);
    }
    if named.is_empty() {
        return Err(PURGE_USAGE.to_owned());
    }
    Ok(named)
}

/// The purge that these parameters ask for; `route` makes a matcher of the name of a route.
///
/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn purge(
    named: &[Named],
    route: impl Fn(&str) -> Result<Matcher, String>,
) -> Result<PurgeRequest, String> {
    let mut covers = Vec::new();
    let (mut is_soft, mut is_dry_run, mut reason, mut wait) = (None, None, None, None);
    for named @ (what, value) in named {
        match what.as_str() {
            "soft" => once(&mut is_soft, what, flag(what, value)?)?,
            "dry_run" => once(&mut is_dry_run, what, flag(what, value)?)?,
            // It goes to the log and to those who list the purges.
            "reason" => {
                let fits =
                    !value.chars().any(char::is_control) && value.chars().count() <= MAX_REASON;
                let line = fits.then(|| value.to_owned()).ok_or_else(|| {
                    format!("`reason` is not a line of at most {MAX_REASON} characters")
                })?;
                once(&mut reason, what, line)?;
            }
            "wait" => {
                let longest =
                    parse_duration(value).map_err(|fault| format!("wait={value} {fault}"))?;
                let longest = Some(longest).filter(|longest| *longest <= LONGEST_WAIT);
                let longest =
                    longest.ok_or_else(|| format!("wait={value} is longer than a minute"))?;
                once(&mut wait, what, longest)?;
            }
            "route" => {
                let matcher = route(value);
                covers.push(matcher.map_err(|fault| format!("route={value} {fault}"))?);
            }
            _ => covers.push(matcher(named)?),
        }
    }
    if covers.is_empty() {
        return Err(PURGE_USAGE.to_owned());
    }
    let invalidation = match is_soft.unwrap_or(false) {
        true => Invalidation::soft(covers),
        false => Invalidation::hard(covers),
    };
    Ok(PurgeRequest {
        invalidation,
        is_dry_run: is_dry_run.unwrap_or(false),
        reason,
        wait: wait.unwrap_or(WAIT),
    })
}

/// Of two values, one would be ignored.
pub(super) fn once<T>(known: &mut Option<T>, what: &str, value: T) -> Result<(), String> {
    match known.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{what}` is given more than once")),
    }
}

pub(super) fn flag(what: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{what}={value} is neither true nor false")),
    }
}

/// No parameter has control characters or white space around its value: they come of a slip in a script, and what was meant
/// would not be found.
///
/// # Errors
/// A sentence that names the parameter.
fn clean(name: &str, value: &str) -> Result<(), String> {
    let fault = match () {
        () if value.chars().any(char::is_control) => "has a control character in it",
        () if value.contains(char::REPLACEMENT_CHARACTER) => "is not UTF-8",
        () if value.trim() != value => "begins or ends with white space",
        () => return Ok(()),
    };
    Err(format!(
        "the value of `{name}` {fault}: \"{}\"",
        value.escape_debug()
    ))
}

/// The parameters of the query; fails when one is not among `known`.
pub(super) fn from_query(
    request: &Request<Bytes>,
    known: &[&str],
    usage: &str,
) -> Result<Vec<Named>, String> {
    let mut named = Vec::new();
    let mut raw: Option<Parameter> = None;
    for parameter in parameters(request.uri().query().unwrap_or_default()) {
        let Parameter { name, value, .. } = &parameter;
        if let Some(raw) = &raw {
            return Err(format!(
                "{}={} is followed by &{name}: within a URL, write & as %26 (and ? as %3F, where another parameter follows)",
                raw.name, raw.value
            ));
        }
        if !known.contains(&name.as_str()) {
            let name = name.escape_debug();
            return Err(format!("unknown parameter `{name}`; {usage}"));
        }
        clean(name, value)?;
        named.push((name.clone(), value.clone()));
        raw = Some(parameter).filter(|parameter| parameter.is_raw_url);
    }
    Ok(named)
}

fn from_content(content: &[u8]) -> Result<Vec<Named>, String> {
    let content: serde_json::Map<String, Value> = serde_json::from_slice(content)
        .map_err(|error| format!("the content is not a JSON object: {error}"))?;
    let mut named = Vec::new();
    for (what, value) in content {
        match value {
            Value::String(value) => named.push((what, value)),
            Value::Bool(value) => named.push((what, value.to_string())),
            Value::Array(values) => {
                for value in values {
                    let value = value
                        .as_str()
                        .ok_or_else(|| format!("`{what}` has a member that is not a string"))?;
                    named.push((what.clone(), value.to_owned()));
                }
            }
            _ => {
                return Err(format!(
                    "`{what}` is neither a string nor a list of strings"
                ));
            }
        }
    }
    Ok(named)
}

fn matcher((what, value): &Named) -> Result<Matcher, String> {
    let fault = |fault: String| format!("{what}={value} {fault}");
    match what.as_str() {
        "url" => Selector::url(value).map(Matcher::Urls).map_err(fault),
        "prefix" => Selector::prefix(value).map(Matcher::Urls).map_err(fault),
        // RFC 9875 §2 has ASCII alone; other fields have tags in UTF-8.
        "tag" | "group" if !value.is_empty() && !value.chars().any(char::is_control) => {
            Ok(Matcher::Tag {
                name: value.clone(),
                origin: None,
            })
        }
        "tag" | "group" => Err(fault(
            "is not the name of a tag, nor of a group of Cache-Groups: these have a character, and no control characters"
                .to_owned(),
        )),
        "all" if value == "true" => Ok(Matcher::All),
        "all" => Err(fault(
            "must be all=true, which purges everything".to_owned(),
        )),
        _ => Err(format!("unknown parameter `{what}`; {PURGE_USAGE}")),
    }
}
