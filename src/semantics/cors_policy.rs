//! CORS done by the gateway in the place of the API (Fetch, "HTTP extensions"): which origins' pages may read responses, and what a
//! preflight is told.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::cors;
use super::list::{is_tchar, members};
use super::time::DeltaSeconds;

/// What the pages of other origins may do.
#[derive(Clone, Debug, PartialEq)]
pub struct CorsPolicy {
    /// `None` for all.
    pub origins: Option<Vec<OriginPattern>>,
    /// Beside GET, HEAD and POST; empty for all.
    pub methods: Vec<Method>,
    /// Request fields; empty for all.
    pub headers: Vec<HeaderName>,
    /// Access-Control-Expose-Headers: response fields that pages may read beside the safelisted ones.
    pub expose: Option<HeaderValue>,
    /// Requests may carry cookies and other credentials.
    pub credentials: bool,
    /// How long a browser may remember what a preflight was told.
    pub max_age: DeltaSeconds,
}

/// An origin, or all origins whose host is below a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern {
    /// `https://app.example.org`, or `https://` before what the star stands for.
    before: Box<str>,
    /// `.example.org:8443` behind the star; `None` where there is no star.
    after: Option<Box<str>>,
}

impl OriginPattern {
    /// Reads `https://app.example.org`, `http://localhost:3000`, `https://*.example.org`. Fails with what is wrong with it: a
    /// clause that follows it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "null" {
            return Err(
                "is what every page in a sandboxed frame sends; write \"*\" if all may read",
            );
        }
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text
            .split_once("://")
            .ok_or("has no scheme; write it like \"https://app.example.org\"")?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme.is_empty() || !scheme.chars().all(is_scheme) {
            return Err("has no scheme; write it like \"https://app.example.org\"");
        }
        if authority.contains(['/', '?', '#', '@']) {
            return Err("has more than scheme, host and port, which is all that browsers send");
        }
        // Browsers leave the port of the scheme out (Fetch, "serialization of an origin").
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "\0",
        };
        let authority = authority.strip_suffix(own_port).unwrap_or(authority);
        let is_host = |text: &str| {
            let is_of = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
            !text.is_empty() && text.chars().all(is_of)
        };
        match authority.strip_prefix('*') {
            Some(after) if after.len() > 1 && after.starts_with('.') && is_host(after) => {
                Ok(Self {
                    before: format!("{scheme}://").into(),
                    after: Some(after.into()),
                })
            }
            Some(_) => Err("has a star that is not like \"https://*.example.org\""),
            None if is_host(authority) => Ok(Self {
                before: format!("{scheme}://{authority}").into(),
                after: None,
            }),
            None => Err(
                "is not an origin such as \"https://app.example.org\" or \"https://*.example.org\"",
            ),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        let Some(after) = &self.after else {
            return *origin == *self.before;
        };
        let below = origin
            .strip_prefix(&*self.before)
            .and_then(|rest| rest.strip_suffix(&**after));
        let is_of = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        below.is_some_and(|below| !below.is_empty() && below.chars().all(is_of))
    }
}

/// As it is written.
impl std::fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.before)?;
        match &self.after {
            Some(after) => write!(f, "*{after}"),
            None => Ok(()),
        }
    }
}

/// The method that a preflight asks for (Fetch, "CORS-preflight request"): an OPTIONS with an Origin and this field. `None` for
/// what is none.
pub fn preflight_method(method: &Method, request: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !request.contains_key(ORIGIN) {
        return None;
    }
    let asked = request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

impl CorsPolicy {
    /// The Origin of a request whose pages may read the response.
    pub fn allowed<'r>(&self, request: &'r HeaderMap) -> Option<&'r HeaderValue> {
        let mut lines = request.get_all(ORIGIN).iter();
        let origin = lines.next().filter(|_| lines.next().is_none())?;
        let Some(patterns) = &self.origins else {
            return Some(origin);
        };
        let text = origin.to_str().ok()?;
        let is_allowed = patterns.iter().any(|pattern| pattern.matches(text));
        is_allowed.then_some(origin)
    }

    /// Puts the fields of CORS on a response, in the place of the API's; `allowed` is the Origin of its request, if that may
    /// read it.
    pub fn grant(&self, allowed: Option<&HeaderValue>, response: &mut HeaderMap) {
        strip(response);
        // Fetch, "CORS protocol and HTTP caches": whether or not the request has an Origin, the response would differ for others.
        if self.origins.is_some() {
            vary_by(response, "Origin");
        }
        let Some(allow_origin) = self.allow_origin(allowed) else {
            return;
        };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
        if self.credentials {
            response.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        if let Some(expose) = &self.expose {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// The further fields of the answer to the preflight `request`, which asks for `method`.
    pub fn answer_preflight(&self, method: &Method, request: &HeaderMap, response: &mut HeaderMap) {
        let methods = match &self.methods[..] {
            [] => method.to_string(),
            methods => joined(methods.iter().map(Method::as_str)),
        };
        let headers = match &self.headers[..] {
            [] => {
                let asked = members(request, &ACCESS_CONTROL_REQUEST_HEADERS);
                let tokens = asked.filter(|name| name.iter().copied().all(is_tchar));
                joined(tokens.filter_map(|name| std::str::from_utf8(name).ok()))
            }
            headers => joined(headers.iter().map(HeaderName::as_str)),
        };
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (ACCESS_CONTROL_MAX_AGE, self.max_age.to_string()),
        ] {
            if !value.is_empty()
                && let Ok(value) = HeaderValue::from_str(&value)
            {
                response.insert(name, value);
            }
        }
        vary_by(response, "Access-Control-Request-Method");
        vary_by(response, "Access-Control-Request-Headers");
    }

    fn allow_origin(&self, allowed: Option<&HeaderValue>) -> Option<HeaderValue> {
        match self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(_) => allowed.cloned(),
        }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Removes the API's fields of CORS.
pub fn strip(response: &mut HeaderMap) {
    let is_field = |name: &&HeaderName| cors::is_field(name.as_str().as_bytes());
    let found: Vec<_> = response.keys().filter(is_field).cloned().collect();
    for name in found {
        response.remove(name);
    }
}

/// Has Vary name `field`.
fn vary_by(response: &mut HeaderMap, field: &'static str) {
    let names = |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(field.as_bytes());
    if !members(response, &VARY).any(names) {
        response.append(VARY, HeaderValue::from_static(field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str]) -> CorsPolicy {
        let pattern = |text: &&str| OriginPattern::parse(text).expect(text);
        CorsPolicy {
            origins: (origins != ["*"]).then(|| origins.iter().map(pattern).collect()),
            methods: Vec::new(),
            headers: Vec::new(),
            expose: None,
            credentials: false,
            max_age: DeltaSeconds::new(600),
        }
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in lines {
            fields.append(*name, HeaderValue::from_static(value));
        }
        fields
    }

    #[test]
    fn an_origin_is_allowed_as_a_whole_or_below_a_name() {
        #[rustfmt::skip]
        let table = [
            ("https://app.example.org", "https://app.example.org", true),
            ("HTTPS://App.Example.org:443", "https://app.example.org", true),
            ("https://app.example.org", "http://app.example.org", false),
            ("https://app.example.org", "https://app.example.org:8443", false),
            ("https://app.example.org", "https://app.example.org.evil.example", false),
            ("https://app.example.org", "https://app.example.orgx", false),
            ("https://app.example.org", "null", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://[::1]:3000", "http://[::1]:3000", true),
            ("app://localhost", "app://localhost", true),
            ("https://*.example.org", "https://a.example.org", true),
            ("https://*.example.org", "https://a.b.example.org", true),
            ("https://*.example.org", "https://example.org", false),
            ("https://*.example.org", "https://.example.org", false),
            ("https://*.example.org", "https://evilexample.org", false),
            ("https://*.example.org", "https://evil.example/.example.org", false),
            ("https://*.example.org", "https://evil.example:1.example.org", false),
            ("https://*.example.org", "https://evil@a.example.org", false),
            ("https://*.example.org", "https://a.example.org:8443", false),
            ("https://*.example.org", "http://a.example.org", false),
            ("https://*.example.org:8443", "https://a.example.org:8443", true),
            ("*", "https://any.example", true),
            ("*", "null", true),
        ];
        for (pattern, origin, allowed) in table {
            let request = fields(&[("origin", origin)]);
            let found = policy(&[pattern]).allowed(&request).is_some();
            assert_eq!(found, allowed, "{pattern}: {origin}");
        }
        let twice = fields(&[("origin", "https://a"), ("origin", "https://a")]);
        assert_eq!(policy(&["https://a"]).allowed(&twice), None);
    }

    #[test]
    fn what_is_no_origin_is_refused_with_its_reason() {
        for (text, fault) in [
            ("null", "sandboxed"),
            ("app.example.org", "no scheme"),
            ("://a", "no scheme"),
            ("https://app.example.org/", "more than scheme"),
            ("https://me@app.example.org", "more than scheme"),
            ("https://*", "has a star"),
            ("https://*example.org", "has a star"),
            ("https://*.", "has a star"),
            ("https://a.*.example.org", "is not an origin"),
            ("https://", "is not an origin"),
            ("https://bücher.example", "is not an origin"),
        ] {
            let refused = OriginPattern::parse(text).expect_err(text);
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }

    #[test]
    fn a_response_says_who_may_read_it_in_the_place_of_the_api() {
        let api = [
            ("access-control-allow-origin", "https://old.example"),
            ("access-control-allow-credentials", "true"),
            ("x-total", "7"),
        ];
        let listed = policy(&["https://app.example.org"]);
        let with_credentials = CorsPolicy {
            credentials: true,
            expose: Some(HeaderValue::from_static("x-total")),
            ..listed.clone()
        };
        let origin = "access-control-allow-origin: https://app.example.org";
        for (policy, page, vary, expected) in [
            (
                &listed,
                Some("https://app.example.org"),
                &[][..],
                &[origin, "vary: Origin"][..],
            ),
            (
                &listed,
                Some("https://evil.example"),
                &[],
                &["vary: Origin"],
            ),
            (&listed, None, &[], &["vary: Origin"]),
            (
                &listed,
                None,
                &["Accept, ORIGIN"],
                &["vary: Accept, ORIGIN"],
            ),
            (&listed, None, &["*"], &["vary: *"]),
            (
                &listed,
                None,
                &["Accept"],
                &["vary: Accept", "vary: Origin"],
            ),
            (
                &with_credentials,
                Some("https://app.example.org"),
                &[],
                &[
                    "access-control-allow-credentials: true",
                    origin,
                    "access-control-expose-headers: x-total",
                    "vary: Origin",
                ],
            ),
            (
                &policy(&["*"]),
                Some("https://any.example"),
                &[],
                &["access-control-allow-origin: *"],
            ),
            (
                &policy(&["*"]),
                None,
                &[],
                &["access-control-allow-origin: *"],
            ),
        ] {
            let mut response = fields(&api);
            for line in vary {
                response.append(VARY, HeaderValue::from_static(line));
            }
            let request = fields(
                &page
                    .map(|page| ("origin", page))
                    .into_iter()
                    .collect::<Vec<_>>(),
            );
            policy.grant(policy.allowed(&request), &mut response);
            let lines = response.iter().filter(|(name, _)| *name != "x-total");
            let mut lines: Vec<_> = lines
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
                .collect();
            lines.sort();
            assert_eq!(lines, expected, "{page:?} {vary:?}");
        }
    }

    #[test]
    fn a_preflight_is_told_what_is_listed_or_what_it_asks_for() {
        let asked = fields(&[
            ("origin", "https://a"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "content-type,x-a, b@d,"),
        ]);
        assert_eq!(
            preflight_method(&Method::OPTIONS, &asked),
            Some(Method::PUT)
        );
        assert_eq!(preflight_method(&Method::PUT, &asked), None);
        for missing in ["origin", "access-control-request-method"] {
            let mut plain = asked.clone();
            plain.remove(missing);
            assert_eq!(preflight_method(&Method::OPTIONS, &plain), None);
        }
        let all = policy(&["https://a"]);
        let listed = CorsPolicy {
            methods: vec![Method::PUT, Method::DELETE],
            headers: vec![HeaderName::from_static("x-b")],
            ..all.clone()
        };
        for (policy, methods, headers) in [
            (&all, "PUT", "content-type, x-a"),
            (&listed, "PUT, DELETE", "x-b"),
        ] {
            let mut response = HeaderMap::new();
            policy.answer_preflight(&Method::PUT, &asked, &mut response);
            assert_eq!(response[ACCESS_CONTROL_ALLOW_METHODS], methods);
            assert_eq!(response[ACCESS_CONTROL_ALLOW_HEADERS], headers);
            assert_eq!(response[ACCESS_CONTROL_MAX_AGE], "600");
            assert_eq!(response.get_all(VARY).iter().count(), 2);
        }
    }
}
