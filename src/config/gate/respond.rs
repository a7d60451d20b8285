//! `respond`: an answer that the gateway gives in the place of the API's: maintenance, a blocked path, a redirect.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use toml::de::DeValue;

use super::location::Location;
use crate::config::readers::{count, lifetime};
use crate::config::section::Section;
use crate::config::value::Value;
use crate::semantics::list::is_tchar;
use crate::semantics::path_form::PathForm;
use crate::semantics::time::DeltaSeconds;

/// Bytes of the longest body.
const MAX_BODY: usize = 64 * 1024;

/// The answer to each request of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    pub status: StatusCode,
    /// The operator's, or a problem document (RFC 9457) for an error; empty for all else.
    pub content: Bytes,
    /// `None` where there is no content.
    pub content_type: Option<HeaderValue>,
    pub retry_after: Option<DeltaSeconds>,
    pub location: Option<Location>,
}

impl Respond {
    /// `None` where the section is not there, or a mistake is noted. `pattern` is the `match` of its route.
    pub(super) fn read(section: &mut Section<'_>, pattern: &str) -> Option<Self> {
        // The outer `None`: not given. The inner one: a mistake, which is noted.
        let status = section.value("status").map(status);
        let body = section.value("body").map(body);
        let content_type = section.value("type").map(media_type);
        let retry_after = section.value("retry_after").map(lifetime);
        let location = section
            .value("location")
            .map(|value| location(value, pattern));
        if !section.is_given() {
            return None;
        }
        let Some(status) = status else {
            let message = "`respond` has no `status`; write `respond = { status = 503 }`";
            section.mistake(section.span(), message);
            return None;
        };
        let status = status?;
        let given = Given {
            body: body.is_some(),
            content_type: content_type.is_some(),
            retry_after: retry_after.is_some(),
            location: location.is_some(),
        };
        if let Some((key, fault)) = given.misfit(status) {
            let place = section.given(key).unwrap_or_else(|| section.span());
            section.mistake(place, fault);
            return None;
        }
        let (content, content_type) = match (body, content_type) {
            (Some(body), content_type) => {
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                (body?, Some(content_type.unwrap_or(Some(text))?))
            }
            (None, _) if status.is_client_error() || status.is_server_error() => {
                let problem = HeaderValue::from_static("application/problem+json");
                (problem_of(status), Some(problem))
            }
            (None, _) => (Bytes::new(), None),
        };
        Some(Self {
            status,
            content,
            content_type,
            retry_after: retry_after.unwrap_or_default(),
            location: match location {
                Some(location) => Some(location?),
                None => None,
            },
        })
    }
}

/// Which keys there are beside the status.
struct Given {
    body: bool,
    content_type: bool,
    retry_after: bool,
    location: bool,
}

impl Given {
    /// The first key that makes no sense with `status`, and why.
    fn misfit(&self, status: StatusCode) -> Option<(&'static str, String)> {
        let code = status.as_u16();
        let redirects = matches!(code, 301 | 302 | 303 | 307 | 308);
        let fault = |key, fault: String| Some((key, fault));
        if redirects && !self.location {
            return fault(
                "status",
                format!("a redirect ({code}) needs a `location`, such as \"/new/{{id}}\""),
            );
        }
        if self.location && !redirects && code != 201 {
            return fault(
                "location",
                format!(
                    "`location` has no meaning with {code}; a redirect has 301, 302, 303, 307 or 308"
                ),
            );
        }
        // RFC 9110 §15.3.5, §15.3.6: they have no content.
        if matches!(code, 204 | 205) && self.body {
            return fault("body", format!("a response with {code} has no `body`"));
        }
        if self.content_type && !self.body {
            return fault(
                "type",
                "`type` is that of the `body`, and there is none".to_owned(),
            );
        }
        // RFC 9110 §10.2.3, RFC 6585 §4.
        if self.retry_after && !redirects && !matches!(code, 413 | 429 | 503) {
            return fault(
                "retry_after",
                format!(
                    "`retry_after` has no meaning with {code}; write it with 503, 429, 413 or a redirect"
                ),
            );
        }
        None
    }
}

/// A status that says enough by itself.
fn status(value: Value<'_>) -> Option<StatusCode> {
    let code: u16 = count(200..=599)(value)?;
    let why = match code {
        206 => "answers a Range, and has a part of a representation",
        300 => "needs a list of choices",
        304 => "answers a condition, and only the API knows what the client has",
        305 | 306 => "is no longer used",
        401 => "needs a challenge: write `auth` instead",
        407 => "is for proxies that clients are configured for",
        416 => "answers a Range",
        426 => "needs to say which protocol is wanted",
        _ => return StatusCode::from_u16(code).ok(),
    };
    value.refuse_text(format!("{why}; take another, such as 404 or 503"))
}

fn body(value: Value<'_>) -> Option<Bytes> {
    let text = value.text("a text such as \"Back at noon.\"")?;
    match text.len() > MAX_BODY {
        true => value.refuse(format!("`body` has more than {MAX_BODY} bytes")),
        false => Some(text.into_owned().into()),
    }
}

fn media_type(value: Value<'_>) -> Option<HeaderValue> {
    let text = value.text("a media type such as \"text/html; charset=utf-8\"")?;
    let (kind, _) = text.split_once(';').unwrap_or((&text, ""));
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_tchar);
    let is_type = kind
        .trim()
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    match HeaderValue::from_str(&text) {
        Ok(media_type) if is_type => Some(media_type),
        _ => value.refuse_text("is not a media type, such as \"text/html; charset=utf-8\""),
    }
}

fn location(value: Value<'_>, pattern: &str) -> Option<Location> {
    // Braces of a template would be taken for a variable's.
    let DeValue::String(text) = value.item() else {
        return value.refuse_type("a path or a URL such as \"/new/{id}\"");
    };
    // What is wrong with `match` is noted elsewhere.
    PathForm::parse(pattern).ok()?;
    match Location::parse(text, pattern) {
        Ok(location) => Some(location),
        Err(fault) => value.refuse_text(fault),
    }
}

/// The detail of an error for which the operator has given no text.
fn problem_of(status: StatusCode) -> Bytes {
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
    });
    format!("{problem}\n").into()
}
