//! Names and values that fields often have, each with a number of its own, by which they are kept (see
//! [`super::fields`]).

use http::header::{self, HeaderName, HeaderValue};

const fn custom(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Names that responses often have; a name's number is its place, counted from one. Only ever added to at the end.
pub static NAMES: [HeaderName; 54] = [
    header::DATE,
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::SERVER,
    header::VARY,
    header::EXPIRES,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::LOCATION,
    header::LINK,
    header::VIA,
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ALLOW,
    header::ALT_SVC,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::PRAGMA,
    header::REFERRER_POLICY,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRAILER,
    header::WARNING,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    header::CACHE_STATUS,
    header::CDN_CACHE_CONTROL,
    custom("cache-groups"),
    custom("content-digest"),
    custom("cross-origin-opener-policy"),
    custom("cross-origin-resource-policy"),
    custom("deprecation"),
    custom("no-vary-search"),
    custom("permissions-policy"),
    custom("repr-digest"),
    custom("server-timing"),
    custom("sunset"),
    custom("timing-allow-origin"),
    custom("x-powered-by"),
    custom("x-ratelimit-limit"),
    custom("x-ratelimit-remaining"),
    custom("x-ratelimit-reset"),
    custom("x-request-id"),
];

const fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// Values that responses often have; a value's number is its place. Only ever added to at the end.
pub static VALUES: [HeaderValue; 20] = [
    value("application/json"),
    value("application/json; charset=utf-8"),
    value("application/json;charset=utf-8"),
    value("application/json; charset=UTF-8"),
    value("application/problem+json"),
    value("text/html; charset=utf-8"),
    value("text/plain; charset=utf-8"),
    value("gzip"),
    value("br"),
    value("zstd"),
    value("Accept-Encoding"),
    value("accept-encoding"),
    value("Origin"),
    value("*"),
    value("bytes"),
    value("nosniff"),
    value("SAMEORIGIN"),
    value("no-cache"),
    value("public"),
    value("en"),
];
