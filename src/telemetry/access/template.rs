//! A line as the operator writes it.

use std::fmt::Display;

use http::HeaderValue;

use super::format::{Millis, reference, version_text};
use super::record::Record;
use super::{date, escape};
use crate::config::{AccessPart, AccessTemplate, AccessToken};

/// Values are escaped as between the quotation marks of the combined format: each is part of one line. What is not known is a dash.
pub(super) fn write(line: &mut Vec<u8>, record: &Record<'_>, template: &AccessTemplate) {
    for part in &template.0 {
        match part {
            AccessPart::Text(text) => line.extend_from_slice(text.as_bytes()),
            AccessPart::AccessToken(token) => value(line, record, *token),
        }
    }
    line.push(b'\n');
}

fn value(line: &mut Vec<u8>, record: &Record<'_>, token: AccessToken) {
    let request = record.request.as_ref();
    let upstream = record.upstream.as_ref();
    match token {
        AccessToken::Time => date::rfc3339(line, record.time),
        AccessToken::ClfTime => date::clf(line, record.time),
        AccessToken::Peer => known(line, record.peer),
        AccessToken::Client => known(line, record.client.or(record.peer.map(|peer| peer.ip()))),
        AccessToken::User => text(line, record.user.map(str::as_bytes)),
        AccessToken::Scheme => text(line, Some(record.scheme.as_str().as_bytes())),
        AccessToken::Host => text(line, record.host.map(str::as_bytes)),
        AccessToken::Route => text(line, record.route.map(str::as_bytes)),
        AccessToken::RequestId => text(line, record.request_id.map(str::as_bytes)),
        AccessToken::Method => text(
            line,
            request.map(|request| request.method.as_str().as_bytes()),
        ),
        AccessToken::Target => {
            let target = request.map(|request| escape::without_secrets(request.target));
            text(line, target.as_deref().map(str::as_bytes));
        }
        AccessToken::Version => known(line, request.map(|request| version_text(request.version))),
        AccessToken::Status => known(line, Some(record.status.as_str())),
        AccessToken::Bytes => known(line, Some(record.bytes)),
        AccessToken::Duration => known(line, Some(Millis(record.duration))),
        AccessToken::Result => known(line, Some(record.result.token())),
        AccessToken::Reason => text(line, record.reason.map(str::as_bytes)),
        AccessToken::Cache => text(line, record.cache.map(str::as_bytes)),
        AccessToken::Failure => known(line, record.failure),
        AccessToken::Detail => text(line, record.detail.map(str::as_bytes)),
        AccessToken::Referer => text(line, record.referer.map(reference).as_deref()),
        AccessToken::UserAgent => text(line, record.user_agent.map(HeaderValue::as_bytes)),
        AccessToken::Tls => known(line, record.tls),
        AccessToken::UpstreamServer => {
            text(line, upstream.map(|upstream| upstream.server.as_bytes()))
        }
        AccessToken::UpstreamTime => {
            let duration = upstream.and_then(|upstream| upstream.duration);
            known(line, duration.map(Millis));
        }
        AccessToken::Attempts => known(line, upstream.map(|upstream| upstream.attempts)),
    }
}

/// What needs no escape.
fn known(line: &mut Vec<u8>, value: Option<impl Display>) {
    match value {
        Some(value) => super::format::write(line, value),
        None => line.push(b'-'),
    }
}

/// What others have written.
fn text(line: &mut Vec<u8>, text: Option<&[u8]>) {
    escape::quoted(line, text.filter(|text| !text.is_empty()).unwrap_or(b"-"));
}
