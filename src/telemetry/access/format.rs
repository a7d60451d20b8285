//! The two formats of a line.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use http::{HeaderValue, Version};

use super::record::{Record, RequestLine};
use super::{date, escape};

/// Apache's combined format, followed by our member of Cache-Status and the duration in milliseconds; after a failure also
/// by its token and its details in quotation marks.
pub(super) fn combined(line: &mut Vec<u8>, record: &Record<'_>) {
    match record.client.or(record.peer.map(|peer| peer.ip())) {
        Some(client) => write(line, client),
        None => line.push(b'-'),
    }
    line.extend_from_slice(b" - ");
    match record.user {
        Some(user) => escape::word(line, user.as_bytes()),
        None => line.push(b'-'),
    }
    line.extend_from_slice(b" [");
    date::clf(line, record.time);
    line.extend_from_slice(b"] \"");
    match &record.request {
        Some(RequestLine {
            method,
            target,
            version,
        }) => {
            escape::quoted(line, method.as_str().as_bytes());
            line.push(b' ');
            escape::quoted(line, escape::without_secrets(target).as_bytes());
            line.push(b' ');
            line.extend_from_slice(version_text(*version).as_bytes());
        }
        None => line.push(b'-'),
    }
    line.extend_from_slice(b"\" ");
    write(line, record.status.as_str());
    line.push(b' ');
    write(line, record.bytes);
    let mut quoted = |field: Option<&[u8]>| {
        line.extend_from_slice(b" \"");
        escape::quoted(line, field.unwrap_or(b"-"));
        line.push(b'"');
    };
    quoted(record.referer.map(reference).as_deref());
    quoted(record.user_agent.map(HeaderValue::as_bytes));
    quoted(record.cache.map(str::as_bytes));
    line.push(b' ');
    write(line, Millis(record.duration));
    line.extend_from_slice(b"ms");
    if let Some(failure) = record.failure {
        write(line, format_args!(" {failure}"));
    }
    if let Some(detail) = record.detail {
        line.extend_from_slice(b" \"");
        escape::quoted(line, detail.as_bytes());
        line.push(b'"');
    }
    line.push(b'\n');
}

/// One JSON object, without the members that are not known.
pub(super) fn json(line: &mut Vec<u8>, record: &Record<'_>) {
    line.extend_from_slice(b"{\"time\":\"");
    date::rfc3339(line, record.time);
    line.push(b'"');
    if let Some(peer) = record.peer {
        write(line, format_args!(",\"peer\":\"{peer}\""));
    }
    if let Some(client) = record.client {
        write(line, format_args!(",\"client\":\"{client}\""));
    }
    let mut string = |name: &str, text: &[u8]| {
        write(line, format_args!(",\"{name}\":"));
        escape::json(line, text);
    };
    if let Some(user) = record.user {
        string("user", user.as_bytes());
    }
    string("scheme", record.scheme.as_str().as_bytes());
    if let Some(host) = record.host {
        string("host", host.as_bytes());
    }
    if let Some(route) = record.route {
        string("route", route.as_bytes());
    }
    if let Some(id) = record.request_id {
        string("request_id", id.as_bytes());
    }
    if let Some(request) = &record.request {
        string("method", request.method.as_str().as_bytes());
        string("target", escape::without_secrets(request.target).as_bytes());
        string("version", version_text(request.version).as_bytes());
    }
    string("result", record.result.token().as_bytes());
    if let Some(reason) = record.reason {
        string("reason", reason.as_bytes());
    }
    if let Some(tls) = record.tls {
        string("tls", tls.as_bytes());
    }
    if let Some(upstream) = &record.upstream {
        string("upstream_server", upstream.server.as_bytes());
    }
    if let Some(cache) = record.cache {
        string("cache", cache.as_bytes());
    }
    if let Some(referer) = record.referer {
        string("referer", &reference(referer));
    }
    if let Some(user_agent) = record.user_agent {
        string("user_agent", user_agent.as_bytes());
    }
    if let Some(detail) = record.detail {
        string("detail", detail.as_bytes());
    }
    if let Some(failure) = record.failure {
        write(line, format_args!(",\"failure\":\"{failure}\""));
    }
    if let Some(upstream) = &record.upstream {
        write(line, format_args!(",\"attempts\":{}", upstream.attempts));
        if let Some(duration) = upstream.duration {
            write(line, format_args!(",\"upstream_ms\":{}", Millis(duration)));
        }
    }
    write(
        line,
        format_args!(
            ",\"status\":{},\"bytes\":{},\"duration_ms\":{}}}\n",
            record.status.as_str(),
            record.bytes,
            Millis(record.duration)
        ),
    );
}

pub(super) fn write(line: &mut Vec<u8>, what: impl std::fmt::Display) {
    // Writing to a Vec does not fail.
    let _ = write!(line, "{what}");
}

/// A Referer without the secrets in its query.
pub(super) fn reference(value: &HeaderValue) -> Cow<'_, [u8]> {
    match value.to_str().map(escape::without_secrets) {
        Ok(Cow::Owned(clean)) => Cow::Owned(clean.into_bytes()),
        Ok(Cow::Borrowed(_)) => Cow::Borrowed(value.as_bytes()),
        // Not a URI reference: any part of it may be a secret.
        Err(_) => Cow::Borrowed(b"?"),
    }
}

pub(super) fn version_text(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Milliseconds with three decimals.
pub(super) struct Millis(pub(super) Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::semantics::authority::Scheme;
    use crate::semantics::time::Timestamp;
    use crate::telemetry::access::Upstream;
    use crate::telemetry::by_route::Outcome;
    use http::{Method, StatusCode};

    fn line(format: fn(&mut Vec<u8>, &Record<'_>), record: &Record<'_>) -> String {
        let mut line = Vec::new();
        format(&mut line, record);
        String::from_utf8(line).unwrap()
    }

    fn record<'a>(user_agent: &'a HeaderValue, referer: &'a HeaderValue) -> Record<'a> {
        Record {
            time: Timestamp::from_millis(1_700_000_000_123),
            peer: "[2001:db8::1]:5000".parse().ok(),
            client: None,
            user: None,
            request: Some(RequestLine {
                method: &Method::GET,
                target: "/books?token=abc&q=\"x\"",
                version: Version::HTTP_11,
            }),
            scheme: Scheme::Http,
            host: Some("api.example"),
            url: None,
            route: Some("/books"),
            request_id: Some("4bf92f35"),
            status: StatusCode::OK,
            bytes: 1_234,
            duration: Duration::from_micros(12_045),
            result: Outcome::Hit,
            reason: None,
            cache: Some("bookend; hit; ttl=30"),
            failure: None,
            detail: None,
            tls: Some("TLSv1.3"),
            upstream: Some(Upstream {
                server: "http://127.0.0.1:5000",
                attempts: 2,
                duration: Some(Duration::from_millis(7)),
            }),
            user_agent: Some(user_agent),
            referer: Some(referer),
        }
    }

    #[test]
    fn a_combined_line_ends_with_the_caches_result_and_the_duration() {
        let agent = HeaderValue::from_bytes(b"curl \"8\" \xe9").unwrap();
        let referer = HeaderValue::from_static("http://a/?password=x");
        assert_eq!(
            line(combined, &record(&agent, &referer)),
            "2001:db8::1 - - [14/Nov/2023:22:13:20 +0000] \
             \"GET /books?token=***&q=\\\"x\\\" HTTP/1.1\" 200 1234 \
             \"http://a/?password=***\" \"curl \\\"8\\\" \\xe9\" \"bookend; hit; ttl=30\" 12.045ms\n"
        );
    }

    #[test]
    fn a_template_has_what_its_tokens_name_and_dashes_for_what_is_not_known() {
        let agent = HeaderValue::from_static("curl \"8\"");
        let referer = HeaderValue::from_static("http://a/?password=x");
        let written = |text: &str, record: &Record<'_>| {
            let template = crate::config::AccessTemplate::parse(text).unwrap();
            let mut line = Vec::new();
            crate::telemetry::access::template::write(&mut line, record, &template);
            String::from_utf8(line).unwrap()
        };
        let text = "{time} {clf_time} {peer} {client} {user} {scheme}://{host} {route} {request_id} {method} {target} {version} {status} {bytes} \
                    {duration_ms} {result} {reason} {cache} {failure} {detail} {referer} \"{user_agent}\" {tls} {upstream_server} \
                    {upstream_ms} {attempts}";
        let full = record(&agent, &referer);
        assert_eq!(
            written(text, &full),
            "2023-11-14T22:13:20.123Z 14/Nov/2023:22:13:20 +0000 [2001:db8::1]:5000 2001:db8::1 - http://api.example /books 4bf92f35 GET \
             /books?token=***&q=\\\"x\\\" HTTP/1.1 200 1234 12.045 hit - bookend; hit; ttl=30 - - http://a/?password=*** \
             \"curl \\\"8\\\"\" TLSv1.3 http://127.0.0.1:5000 7.000 2\n"
        );
        let bare = Record {
            request: None,
            request_id: None,
            upstream: None,
            tls: None,
            ..full
        };
        let line = written(
            "{method} {target} {request_id} {attempts} {upstream_ms} {tls}",
            &bare,
        );
        assert_eq!(line, "- - - - - -\n");
    }

    #[test]
    fn a_json_line_is_one_object() {
        let agent = HeaderValue::from_bytes(b"curl \"8\" \xe9").unwrap();
        let referer = HeaderValue::from_static("http://a/?password=x");
        let line = line(json, &record(&agent, &referer));
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.123Z",
            "peer": "[2001:db8::1]:5000",
            "method": "GET",
            "scheme": "http",
            "host": "api.example",
            "route": "/books",
            "request_id": "4bf92f35",
            "target": "/books?token=***&q=\"x\"",
            "version": "HTTP/1.1",
            "status": 200,
            "bytes": 1234,
            "duration_ms": 12.045,
            "result": "hit",
            "tls": "TLSv1.3",
            "upstream_server": "http://127.0.0.1:5000",
            "upstream_ms": 7.0,
            "attempts": 2,
            "cache": "bookend; hit; ttl=30",
            "user_agent": "curl \"8\" \u{fffd}",
            "referer": "http://a/?password=***",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn what_has_failed_is_the_last_word_and_a_member() {
        let empty = HeaderValue::from_static("");
        let failed = Record {
            failure: Some(ErrorKind::ClientWriteTimeout),
            ..record(&empty, &empty)
        };
        assert!(line(combined, &failed).ends_with("\" 12.045ms client_write_timeout\n"));
        let read: serde_json::Value = serde_json::from_str(&line(json, &failed)).unwrap();
        assert_eq!(read["failure"], "client_write_timeout");
        let explained = Record {
            failure: Some(ErrorKind::BadRequest),
            detail: Some("the Host is \"a b\""),
            ..record(&empty, &empty)
        };
        let end = "\" 12.045ms bad_request \"the Host is \\\"a b\\\"\"\n";
        assert!(line(combined, &explained).ends_with(end));
        let read: serde_json::Value = serde_json::from_str(&line(json, &explained)).unwrap();
        assert_eq!(read["detail"], "the Host is \"a b\"");
    }

    #[test]
    fn the_client_behind_a_proxy_is_the_one_that_is_shown() {
        let empty = HeaderValue::from_static("");
        let proxied = Record {
            client: "192.0.2.7".parse().ok(),
            ..record(&empty, &empty)
        };
        assert!(line(combined, &proxied).starts_with("192.0.2.7 - - ["));
        let read: serde_json::Value = serde_json::from_str(&line(json, &proxied)).unwrap();
        assert_eq!(read["client"], "192.0.2.7");
        assert_eq!(read["peer"], "[2001:db8::1]:5000");
    }

    #[test]
    fn a_user_is_one_word() {
        let empty = HeaderValue::from_static("");
        let known = Record {
            user: Some("b\u{f6}b \"x\""),
            ..record(&empty, &empty)
        };
        let combined = line(combined, &known);
        assert!(
            combined.starts_with("2001:db8::1 - b\\xc3\\xb6b\\x20\\\"x\\\" ["),
            "{combined}"
        );
        let read: serde_json::Value = serde_json::from_str(&line(json, &known)).unwrap();
        assert_eq!(read["user"], "b\u{f6}b \"x\"");
    }

    #[test]
    fn what_is_not_known_is_a_dash_or_left_out() {
        let empty = HeaderValue::from_static("");
        let bare = Record {
            peer: None,
            host: None,
            cache: None,
            user_agent: None,
            referer: None,
            request: None,
            request_id: None,
            tls: None,
            upstream: None,
            ..record(&empty, &empty)
        };
        assert!(line(combined, &bare).starts_with("- - - ["));
        assert!(line(combined, &bare).ends_with("] \"-\" 200 1234 \"-\" \"-\" \"-\" 12.045ms\n"));
        let read: serde_json::Value = serde_json::from_str(&line(json, &bare)).unwrap();
        for name in [
            "peer",
            "client",
            "user",
            "host",
            "request_id",
            "method",
            "target",
            "version",
            "reason",
            "tls",
            "upstream_server",
            "upstream_ms",
            "attempts",
            "cache",
            "failure",
            "detail",
            "user_agent",
            "referer",
        ] {
            assert_eq!(read.get(name), None, "{name}");
        }
    }
}
