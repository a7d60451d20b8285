//! A path with names of a route's `match` in it, as `rewrite` and `location` have: `{id}` and `{rest}` stand for what they stand
//! for there.

use std::borrow::Cow;

use super::paths::foreign_syntax;
use super::section::nearest;
use crate::semantics::path_form::{PathForm, Segment};

/// Reads a path in which the names of the route's `match`, `pattern`, may stand. Fails with what is wrong with it: a clause that
/// follows the path.
pub(super) fn rewritten(text: &str, pattern: &str, names: &[&str]) -> Result<PathForm, String> {
    if text.contains("://") {
        return Err("names a server; write the path alone, and the API in `upstream`".to_owned());
    }
    checked(text)?;
    let mut segments = Vec::new();
    for segment in text.split('/') {
        segments.push(named(segment, pattern, names)?);
    }
    Ok(PathForm::parse(&segments.join("/"))?)
}

/// A segment of `rewrite` in the form of one of `match`, where a name that stands for all that is left has a star.
fn named<'t>(segment: &'t str, pattern: &str, names: &[&str]) -> Result<Cow<'t, str>, String> {
    let (Segment::Part { name, .. } | Segment::Rest(name)) = Segment::parse(segment)? else {
        return Ok(Cow::Borrowed(segment));
    };
    if let Ok(Segment::Rest(_)) = Segment::parse(segment) {
        return Err(format!(
            "has a star that only `match` has; write `{{{name}}}`"
        ));
    }
    if !names.contains(&name) {
        let cure = match (nearest(name, names), names) {
            (Some(near), _) => format!("did you mean `{{{near}}}`?"),
            (None, []) => "that has no parameter".to_owned(),
            (None, names) => format!("that has `{{{}}}`", names.join("}`, `{")),
        };
        return Err(format!(
            "has a parameter `{{{name}}}` that is not in the route's `match`; {cure}"
        ));
    }
    if !pattern.contains(&format!("{{*{name}}}")) {
        return Ok(Cow::Borrowed(segment));
    }
    match segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(name) => Ok(Cow::Owned(format!("{{*{name}}}"))),
        None => Err(format!(
            "has something beside `{{{name}}}`, which stands for whole segments"
        )),
    }
}

/// Fails where `text` is no path of the form that routes have.
pub(super) fn checked(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("does not begin with a slash".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("has a query or fragment; the API gets the query of the request".to_owned());
    }
    if let Some(fault) = foreign_syntax(text) {
        return Err(fault.to_owned());
    }
    if text.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        return Err("has white space, which paths have only as %20".to_owned());
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("has a segment `.` or `..`, which means another path".to_owned());
    }
    Ok(())
}
