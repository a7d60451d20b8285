//! Interim responses (RFC 9110 §15.2) on their way from the API to the client whose request they answer. hyper's server
//! has no way to send one, so they go past it: the upstream's connection leaves them here, and the client's takes them
//! between two responses, when nothing of hyper's waits to be written. To clients of HTTP/1.1 only: on an HTTP/2
//! connection every octet is a frame's, and hyper's to write.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Request, StatusCode};

use crate::semantics::field_line::write_lines;
use crate::semantics::hop_by_hop;
use crate::upstream::{OnInterim, RequestBody};

/// Octets that may wait for a client; interim responses beyond are dropped.
const MOST: usize = 64 * 1024;

/// The interim responses that one connection sends before its next response. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether a request is upstream: hits ask no more than that.
    used: AtomicBool,
    lane: Mutex<Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    /// The request under way, if interim responses to it are still welcome.
    open: Option<u64>,
    requests: u64,
    octets: Vec<u8>,
    /// The connection has taken octets and not yet written all of them.
    writing: bool,
    connection: Option<Waker>,
    exchange: Option<Waker>,
}

/// One request's right to have interim responses sent. A later request of the connection ends it.
#[derive(Debug)]
pub struct Hints {
    interim: Interim,
    request: u64,
}

impl Interim {
    /// A request of this connection may go upstream.
    pub(super) fn begin(&self) -> Hints {
        self.0.used.store(true, Ordering::Release);
        let mut lane = self.lane();
        lane.requests += 1;
        lane.open = Some(lane.requests);
        Hints {
            interim: self.clone(),
            request: lane.requests,
        }
    }

    /// The octets to be written now, whole; wakes the task when there are more.
    pub fn take(&self, cx: &Context<'_>) -> Option<Vec<u8>> {
        if !self.0.used.load(Ordering::Acquire) {
            return None;
        }
        let mut lane = self.lane();
        if lane.octets.is_empty() {
            if lane.open.is_some() {
                lane.connection = Some(cx.waker().clone());
            }
            return None;
        }
        lane.writing = true;
        Some(std::mem::take(&mut lane.octets))
    }

    /// The bytes that were taken have been written.
    pub fn written(&self) {
        let mut lane = self.lane();
        lane.writing = false;
        if let Some(waker) = lane.exchange.take() {
            waker.wake();
        }
    }

    fn push(&self, request: u64, status: StatusCode, fields: &HeaderMap) {
        let mut lane = self.lane();
        if lane.open != Some(request) {
            return;
        }
        let mut fields = fields.clone();
        hop_by_hop::strip(&mut fields);
        fields.remove(CONTENT_LENGTH);
        let reason = status.canonical_reason().unwrap_or_default();
        let mut message = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        write_lines(&fields, &mut message);
        message.extend_from_slice(b"\r\n");
        if lane.octets.len() + message.len() > MOST {
            return;
        }
        lane.octets.extend(message);
        if let Some(waker) = lane.connection.take() {
            waker.wake();
        }
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.0.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the interim responses to `request`, which goes upstream, sent to the client that `hints` belongs to, and its
/// content sent when it is asked for.
pub fn listen(request: &mut Request<RequestBody>, hints: Option<&Hints>) {
    let expectation = request.body().expectation();
    if hints.is_none() && expectation.is_none() {
        return;
    }
    let lane = hints.map(|hints| (hints.interim.clone(), hints.request));
    OnInterim::put(request, move |status, fields| match status {
        // hyper's server says it to the client, when the content is read.
        StatusCode::CONTINUE => {
            if let Some(expectation) = &expectation {
                expectation.meet();
            }
        }
        // No interim response.
        StatusCode::SWITCHING_PROTOCOLS => {}
        status => {
            if let Some((interim, number)) = &lane {
                interim.push(*number, status, fields);
            }
        }
    });
}

impl Hints {
    /// The final response is here: done when all that came before it has been written.
    pub async fn finish(self) {
        self.interim.lane().open = None;
        poll_fn(|cx| {
            let mut lane = self.interim.lane();
            if lane.octets.is_empty() && !lane.writing {
                return Poll::Ready(());
            }
            lane.exchange = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.interim.0.used.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(interim: &Interim) -> Option<String> {
        let octets = interim.take(&Context::from_waker(Waker::noop()));
        octets.map(|octets| String::from_utf8(octets).expect("text"))
    }

    fn push(hints: &Hints, status: u16, fields: &[(&'static str, &'static str)]) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().expect("a value"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        hints.interim.push(hints.request, status, &map);
    }

    #[tokio::test]
    async fn what_comes_is_written_before_the_exchange_goes_on() {
        let interim = Interim::default();
        let hints = interim.begin();
        push(
            &hints,
            103,
            &[("link", "</a>"), ("connection", "x-a"), ("x-a", "1")],
        );
        push(&hints, 102, &[("content-length", "9")]);
        let finished = tokio::task::spawn(hints.finish());
        tokio::task::yield_now().await;
        assert!(!finished.is_finished());
        assert_eq!(
            taken(&interim).as_deref(),
            Some("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        );
        tokio::task::yield_now().await;
        assert!(!finished.is_finished(), "taken, but not written");
        interim.written();
        finished.await.expect("an end");
        assert_eq!(taken(&interim), None);
    }

    #[tokio::test]
    async fn what_comes_after_the_end_or_for_an_earlier_request_is_dropped() {
        let interim = Interim::default();
        let (first, late) = (interim.begin(), interim.begin());
        push(&first, 103, &[]);
        assert_eq!(taken(&interim), None);
        let request = late.request;
        late.finish().await;
        interim.push(request, StatusCode::EARLY_HINTS, &HeaderMap::new());
        assert_eq!(taken(&interim), None);
    }

    #[test]
    fn a_client_that_takes_nothing_is_not_waited_for_with_ever_more() {
        let interim = Interim::default();
        let hints = interim.begin();
        for _ in 0..10_000 {
            push(&hints, 103, &[("link", "</a>")]);
        }
        assert!(taken(&interim).is_some_and(|text| text.len() <= MOST));
    }
}
