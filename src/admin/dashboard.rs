//! The dashboard: a page that shows what the other endpoints answer. It holds no data itself, so that it needs no token; what
//! it asks for needs one, where one is configured.
//!
//! Everything that it consists of is in the program. It asks no other host, and its policy (Content Security Policy, level 3)
//! has the browser see to that.

use http::header::{
    ALLOW, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};

use bytes::Bytes;

use super::answer::{problem, with_type};

/// No script and no style but those of this listener, and no text is ever read as HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! file {
    ($path:literal, $media_type:expr, $name:literal) => {
        File {
            path: $path,
            media_type: $media_type,
            content: include_str!(concat!("dashboard/", $name)),
        }
    };
}

static FILES: [File; 17] = [
    file!("/", HTML, "index.html"),
    file!("/dashboard/style.css", CSS, "style.css"),
    file!("/dashboard/icon.svg", SVG, "icon.svg"),
    file!("/dashboard/theme.js", SCRIPT, "theme.js"),
    file!("/dashboard/main.js", SCRIPT, "main.js"),
    file!("/dashboard/api.js", SCRIPT, "api.js"),
    file!("/dashboard/dom.js", SCRIPT, "dom.js"),
    file!("/dashboard/format.js", SCRIPT, "format.js"),
    file!("/dashboard/charts.js", SCRIPT, "charts.js"),
    file!("/dashboard/table.js", SCRIPT, "table.js"),
    file!("/dashboard/overview.js", SCRIPT, "overview.js"),
    file!("/dashboard/tiers.js", SCRIPT, "tiers.js"),
    file!("/dashboard/requests.js", SCRIPT, "requests.js"),
    file!("/dashboard/urls.js", SCRIPT, "urls.js"),
    file!("/dashboard/explain.js", SCRIPT, "explain.js"),
    file!("/dashboard/purge.js", SCRIPT, "purge.js"),
    file!("/dashboard/config.js", SCRIPT, "config.js"),
];

/// The file of the dashboard with this path; `None` where there is none.
pub(super) fn answer(method: &Method, path: &str) -> Option<Response<Bytes>> {
    let file = FILES.iter().find(|file| file.path == path)?;
    if method != Method::GET && method != Method::HEAD {
        let detail = "the dashboard accepts GET, HEAD only";
        let mut refusal = problem(StatusCode::METHOD_NOT_ALLOWED, detail);
        let fields = refusal.headers_mut();
        fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(refusal);
    }
    let content = Bytes::from_static(file.content.as_bytes());
    let mut response = with_type(StatusCode::OK, file.media_type, content);
    let fields = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

#[cfg(test)]
mod tests;
