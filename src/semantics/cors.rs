//! Which responses a cross-origin request may be answered with where Vary does not say so. Origins that are allowed one by
//! one ought to be named by `Vary: Origin` (Fetch, "CORS protocol and HTTP caches"); many APIs do so only in some of
//! their responses, or never.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::list;

/// The CORS fields of a response, which grant access to pages of other origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cors<'a> {
    /// The only line of Access-Control-Allow-Origin.
    pub allowed: Option<&'a [u8]>,
    /// Whether it has Access-Control-Allow-Credentials.
    pub credentials: bool,
    /// Whether it has any field of CORS.
    pub any: bool,
}

/// The parts of a request that CORS depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking<'a> {
    pub origin: &'a [u8],
    pub has_cookie: bool,
}

/// Whether `name` is a field of responses by which CORS is done.
pub fn is_field(name: &[u8]) -> bool {
    name.starts_with(b"access-control-")
}

/// The fields of `response` by which no CORS is done.
pub fn without_fields(response: &HeaderMap) -> HeaderMap {
    let lines = response.iter();
    let others = lines.filter(|(name, _)| !is_field(name.as_str().as_bytes()));
    let mut fields = HeaderMap::with_capacity(response.len());
    for (name, value) in others {
        fields.append(name.clone(), value.clone());
    }
    fields
}

/// Whether a response with these fields shows that its API does CORS.
pub fn is_done_by(response: &HeaderMap) -> bool {
    let names = response.keys().map(HeaderName::as_str);
    names.map(str::as_bytes).any(is_field)
        || list::members(response, &header::VARY).any(|name| name.eq_ignore_ascii_case(b"origin"))
}

/// Whether a response with these fields may be read by the pages of all origins, without credentials.
pub fn allows_all(response: &HeaderMap) -> bool {
    let mut allowed = response.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter();
    allowed.next().is_some_and(|origin| origin == "*")
        && allowed.next().is_none()
        && !response.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)
}

/// The fields that the gateway's response takes over from the API's response that it replaces: those of CORS, Vary, Date,
/// and those that identify the representation.
pub fn readable_fields(response: &HeaderMap) -> HeaderMap {
    let kept = [
        header::VARY,
        header::DATE,
        header::ETAG,
        header::STRICT_TRANSPORT_SECURITY,
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderName::from_static("timing-allow-origin"),
    ];
    let lines = response.iter();
    let kept = |name: &HeaderName| is_field(name.as_str().as_bytes()) || kept.contains(name);
    let mut fields = HeaderMap::new();
    for (name, value) in lines.filter(|(name, _)| kept(name)) {
        fields.append(name, value.clone());
    }
    fields
}

/// The CORS fields of an error of the gateway's own for a page of `origin`, where the API has allowed that origin (or all)
/// in a response with these fields. `None` where it has not.
pub fn grant(origin: &[u8], response: &HeaderMap) -> Option<HeaderMap> {
    let mut allowed = response.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter();
    let (Some(only), None) = (allowed.next(), allowed.next()) else {
        return None;
    };
    if only != "*" && only.as_bytes() != origin {
        return None;
    }
    let mut fields = HeaderMap::new();
    for name in [
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
    ] {
        for value in response.get_all(&name) {
            fields.append(name.clone(), value.clone());
        }
    }
    if only != "*" {
        fields.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    Some(fields)
}

/// Whether a request with an Origin may be answered with a response whose Vary does not name Origin, as far as that goes.
/// `fetched_with` is the Origin of the request that it was fetched by; `api_does_cors`: whether its API was ever seen to
/// answer with a field of CORS or to vary on Origin.
///
/// RFC 9111 §4.1 would always allow it. It is refused where the API would give this origin other fields: a page could not
/// read a response that was fetched by a request without an Origin, or of an origin that is not allowed.
pub fn may_answer(
    asking: Asking<'_>,
    fetched_with: Option<&[u8]>,
    response: Cors<'_>,
    api_does_cors: impl FnOnce() -> bool,
) -> bool {
    match response.allowed {
        Some(b"*") if !response.credentials => true,
        // With cookies, APIs name the origin instead: for a request with credentials `*` is of no use.
        Some(b"*") => fetched_with.is_some() && !asking.has_cookie,
        _ if fetched_with == Some(asking.origin) => true,
        Some(allowed) => allowed == asking.origin,
        // An API that did not answer one page with a field of CORS, nor ever another, has none for any.
        None => !response.any && fetched_with.is_some() && !api_does_cors(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &[u8] = b"https://app.test";
    const SHOP: &[u8] = b"https://shop.test";

    #[test]
    fn an_api_does_cors_that_has_any_field_of_it_or_varies_on_origin() {
        let table: &[(&'static str, &'static str, bool)] = &[
            ("access-control-allow-origin", "*", true),
            ("access-control-expose-headers", "x", true),
            ("vary", "accept, ORIGIN", true),
            ("vary", "accept", false),
            ("timing-allow-origin", "*", false),
        ];
        for (name, value, does) in table {
            let mut fields = HeaderMap::new();
            fields.append(*name, value.parse().unwrap());
            assert_eq!(is_done_by(&fields), *does, "{name}: {value}");
        }
    }

    #[test]
    fn a_response_answers_the_origins_that_its_api_would_say_the_same_to() {
        let none = Cors::default();
        let star = Cors {
            allowed: Some(b"*"),
            credentials: false,
            any: true,
        };
        let star_with_credentials = Cors {
            credentials: true,
            ..star
        };
        let app = Cors {
            allowed: Some(APP),
            ..star
        };
        let others = Cors { any: true, ..none };
        // (response, fetched with, does the API do CORS, may answer app without and with a cookie)
        type Row<'a> = (Cors<'a>, Option<&'a [u8]>, bool, bool, bool);
        let table: &[Row<'_>] = &[
            (none, None, false, false, false),
            (none, Some(APP), false, true, true),
            (none, Some(SHOP), false, true, true),
            (none, None, true, false, false),
            (none, Some(APP), true, true, true),
            (none, Some(SHOP), true, false, false),
            (star, None, true, true, true),
            (star, Some(SHOP), true, true, true),
            (star_with_credentials, None, true, false, false),
            (star_with_credentials, Some(SHOP), true, true, false),
            (star_with_credentials, Some(APP), true, true, false),
            (app, None, true, true, true),
            (app, Some(SHOP), true, true, true),
            (others, None, true, false, false),
            (others, Some(SHOP), false, false, false),
            (others, Some(APP), true, true, true),
        ];
        for (response, fetched_with, does, without, with) in table {
            for (has_cookie, expected) in [(false, *without), (true, *with)] {
                let origin = APP;
                let asking = Asking { origin, has_cookie };
                let may = may_answer(asking, *fetched_with, *response, || *does);
                assert_eq!(
                    may, expected,
                    "{response:?} {fetched_with:?} {does} {has_cookie}"
                );
            }
        }
    }
}
