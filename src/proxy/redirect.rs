//! The answer of a listener that redirects to https.

use http::header::{CACHE_CONTROL, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::error::{Error, ErrorKind};
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheStatus, Detail};

/// The port of https that a URL does not name.
const HTTPS: u16 = 443;

impl Worker {
    /// Redirects a request to the same URL with https at `port`, for good.
    ///
    /// # Errors
    /// A downstream [`Error`] when the request names no host.
    pub(in crate::proxy) fn redirect(
        &self,
        request: &Request,
        port: u16,
    ) -> Result<Response<Body>, Error> {
        let location = location(
            request.target.authority(),
            request.target.path_and_query(),
            port,
        )
        .ok_or_else(|| {
            Error::downstream(ErrorKind::BadRequest)
                .detail("a request to this address is redirected to https, and names no host")
        })?;
        let mut response = Response::new(Body::empty());
        // 301 lets a client change the method (RFC 9110 §15.4.2), 308 does not; older clients do not know 308.
        *response.status_mut() = match *request.method() {
            Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
            _ => StatusCode::PERMANENT_REDIRECT,
        };
        let fields = response.headers_mut();
        fields.insert(LOCATION, location);
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        self.date(&mut response, request.now);
        let status = CacheStatus {
            detail: Some(Detail::Other("redirected")),
            ..CacheStatus::default()
        };
        self.sign(&mut response, request, status);
        Ok(response)
    }
}

fn location(authority: &str, path_and_query: &str, port: u16) -> Option<HeaderValue> {
    let authority: Authority = authority.parse().ok()?;
    let host = authority.host();
    let port = match port {
        HTTPS => String::new(),
        port => format!(":{port}"),
    };
    HeaderValue::from_str(&format!("https://{host}{port}{path_and_query}")).ok()
}

#[cfg(test)]
mod tests {
    use super::location;

    #[test]
    fn a_redirect_keeps_all_but_scheme_and_port() {
        #[rustfmt::skip]
        let table = [
            ("example.org", "/a?b=c", 443, Some("https://example.org/a?b=c")),
            ("example.org:80", "/", 443, Some("https://example.org/")),
            ("example.org:8080", "/a%20b", 8443, Some("https://example.org:8443/a%20b")),
            ("[2001:db8::1]:80", "/", 443, Some("https://[2001:db8::1]/")),
            ("", "/", 443, None),
        ];
        for (authority, target, port, expected) in table {
            let location = location(authority, target, port);
            let location = location.as_ref().and_then(|value| value.to_str().ok());
            assert_eq!(location, expected, "{authority}{target}");
        }
    }
}
