//! `bookend check --route`: which fields change, and which are part of the key.

use http::HeaderName;

use crate::config::RoutePolicy;
use crate::semantics::field_edits::{FieldEdits, Template};

/// What becomes of the fields of a request on its way to the API; `None` where nothing does.
pub(super) fn of_request(route: &RoutePolicy) -> Option<String> {
    let rules = route.requests.as_ref()?;
    let edits = described(&rules.fields)?;
    Some(format!("request fields: {edits}"))
}

/// What becomes of the fields of a response on its way to the client.
pub(super) fn of_response(route: &RoutePolicy) -> Option<String> {
    let edits = described(route.response_fields.as_ref()?)?;
    Some(format!("response fields: {edits}"))
}

/// What is part of the key beside the URL.
pub(super) fn of_key(route: &RoutePolicy) -> Option<String> {
    let key = &route.requests.as_ref()?.key;
    let fields = key.fields.iter().map(ToString::to_string);
    let cookies = key.cookies.iter().map(|name| format!("cookie {name}"));
    let all: Vec<_> = fields.chain(cookies).collect();
    let is_part = !all.is_empty() && !route.bypass;
    is_part.then(|| format!("key: the URL, {}", all.join(", ")))
}

/// Names alone: the values may be secret.
fn described(edits: &FieldEdits) -> Option<String> {
    let of = |lines: &[(HeaderName, Template)]| {
        let mut names: Vec<_> = lines.iter().map(|(name, _)| name.to_string()).collect();
        names.dedup();
        names
    };
    let removed = edits.remove.iter().map(ToString::to_string).collect();
    let all = [
        ("without", removed),
        ("set", of(&edits.set)),
        ("added", of(&edits.add)),
    ];
    let said: Vec<_> = all
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(words, names)| format!("{words} {}", names.join(", ")))
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}
