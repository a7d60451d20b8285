//! `cors`: which pages of other origins may read the responses of a route.

use http::{HeaderName, HeaderValue, Method};

use crate::config::readers::{flag, lifetime, list, some_list};
use crate::config::section::Section;
use crate::config::value::Value;
use crate::semantics::cors_policy::{CorsPolicy, OriginPattern};
use crate::semantics::time::DeltaSeconds;

/// The member of a list that stands for all.
const ALL: &str = "*";

/// Reads the section; `None` where it is not there, or a mistake is noted.
pub(super) fn read(section: &mut Section<'_>) -> Option<CorsPolicy> {
    // The outer `None`: not given. The inner one: a mistake, which is noted.
    let origins = section.value("origins").map(some_list(|value: Value<'_>| {
        let what = "an origin such as \"https://app.example.org\"";
        value.parsed(what, |text| match text {
            ALL => Ok(None),
            text => OriginPattern::parse(text).map(Some),
        })
    }));
    let (mut methods, mut headers, mut expose) = (Vec::new(), Vec::new(), Vec::new());
    let (mut credentials, mut max_age) = (false, DeltaSeconds::new(600));
    section.set("methods", &mut methods, list(method));
    section.set("headers", &mut headers, list(field));
    section.set("expose", &mut expose, list(field));
    section.set("credentials", &mut credentials, flag);
    section.set("max_age", &mut max_age, lifetime);
    if !section.is_given() {
        return None;
    }
    let Some(origins) = origins else {
        let message = "`cors` has no `origins`; write `origins = [\"https://app.example.org\"]`, or \"*\" for all";
        section.mistake(section.span(), message);
        return None;
    };
    let origins = origins?;
    let is_for_all = origins.iter().any(Option::is_none);
    let place = |key| section.given(key).unwrap_or_else(|| section.span());
    if is_for_all && credentials {
        // Fetch, "CORS protocol and credentials".
        let message = "browsers refuse `credentials` with the origin \"*\", and to allow all by name would let every page act as its visitor: list the origins";
        section.mistake(place("credentials"), message);
        return None;
    }
    if is_for_all && origins.len() > 1 {
        section.warning(
            place("origins"),
            "`origins` has \"*\", which is all of them: the others have no effect",
        );
    }
    if credentials && expose.iter().any(Option::is_none) {
        let message = "\"*\" has no meaning for requests with `credentials`: list the fields";
        section.mistake(place("expose"), message);
        return None;
    }
    let exposed = expose.iter();
    let exposed = exposed.map(|name| name.as_ref().map_or(ALL, HeaderName::as_str));
    let exposed: Vec<_> = exposed.collect();
    let exposed = (!exposed.is_empty()).then(|| exposed.join(", "));
    Some(CorsPolicy {
        origins: origins.into_iter().collect(),
        methods: of_all(methods),
        headers: of_all(headers),
        expose: exposed.and_then(|names| HeaderValue::from_str(&names).ok()),
        credentials,
        max_age,
    })
}

/// Empty where one stands for all.
fn of_all<T>(listed: Vec<Option<T>>) -> Vec<T> {
    listed
        .into_iter()
        .collect::<Option<Vec<T>>>()
        .unwrap_or_default()
}

/// `None` for all.
fn method(value: Value<'_>) -> Option<Option<Method>> {
    let text = value.text("a method such as \"PUT\"")?;
    match &*text {
        ALL => Some(None),
        text => match Method::from_bytes(text.as_bytes()) {
            Ok(method) => Some(Some(method)),
            Err(_) => value.refuse_text("is not a method, such as \"PUT\""),
        },
    }
}

/// `None` for all.
fn field(value: Value<'_>) -> Option<Option<HeaderName>> {
    let text = value.text("a field's name such as \"Content-Type\"")?;
    match &*text {
        ALL => Some(None),
        text => match text.parse() {
            Ok(name) => Some(Some(name)),
            Err(_) => value.refuse_text("is not a field's name, such as \"Content-Type\""),
        },
    }
}
