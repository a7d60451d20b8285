//! The span of one attempt to send a request, where it is recorded: from the wait for a connection to the end of the response.

use http::{Response, Uri};

use super::server::Server;
use crate::config::Endpoint;
use crate::error::Error;
use crate::telemetry::access::without_secrets;
use crate::telemetry::traces::http::URL_FULL;
use crate::telemetry::traces::{OpenSpan, Value};

/// The span of one attempt; `None` where the request is not recorded.
#[derive(Debug)]
pub(super) struct AttemptSpan(Option<OpenSpan>);

impl AttemptSpan {
    pub(super) fn of(span: OpenSpan) -> Self {
        Self(Some(span))
    }

    /// The server that is asked, and for what.
    pub(super) fn asks(&mut self, server: &Server, target: &Uri) {
        if let Some(span) = &mut self.0 {
            let endpoint = &server.url().endpoint;
            span.set_server(endpoint);
            span.set(URL_FULL, Value::text(&url(endpoint, target)));
        }
    }

    /// That of an attempt which is not recorded, or has ended.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The head of a response is here.
    pub(super) fn answered<B>(&mut self, response: &Response<B>) {
        if let Some(span) = &mut self.0 {
            let status = response.status();
            span.set_status(status);
            span.set_version(response.version());
            if status.is_client_error() || status.is_server_error() {
                span.fail_by_status(status);
            }
        }
    }

    /// There is no response, or no whole one.
    pub(super) fn failed(&mut self, error: &Error) {
        if let Some(span) = &mut self.0 {
            span.fail(error.kind().token(), Some(error.explanation()));
        }
    }

    /// It ends here.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

/// As the server is asked for it.
fn url(endpoint: &Endpoint, target: &Uri) -> String {
    let scheme = if endpoint.is_tls() { "https" } else { "http" };
    let target = target.to_string();
    let target = without_secrets(&target);
    format!("{scheme}://{}{target}", endpoint.authority())
}
