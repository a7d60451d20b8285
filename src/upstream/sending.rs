//! From a request to a response's head: which connection carries it, and when it may be sent again.
//!
//! Nothing that may have been processed is sent twice, unless twice is as good as once (RFC 9110 §9.2.2). What was never
//! written may always be sent again.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::connection::Unanswered;
use super::pool::{Lease, Pool, Want};
use super::request_body::{RequestBody, Upload};
use super::request_head::{Target, frame};
use super::response_body::UpstreamBody;
use super::response_head::{Asked, inspect};
use super::{Outgoing, Worker};
use crate::error::Error;

/// What stays the same over all attempts to send a request.
struct Sending {
    target: Target,
    asked: Asked,
    upload: Option<Upload>,
    idempotent: bool,
}

/// An attempt that brought no response.
struct Failed {
    error: Error,
    /// The request, when it may be sent again.
    again: Option<Request<RequestBody>>,
}

impl Worker {
    pub(super) async fn send(&self, outgoing: Outgoing) -> Result<Response<UpstreamBody>, Error> {
        let Outgoing {
            mut request,
            idempotent,
            hash: _,
        } = outgoing;
        let sending = Sending {
            target: Target::of(&request),
            asked: Asked::of(&request),
            upload: request.body().upload(),
            idempotent,
        };
        frame(&mut request);
        let pool = self.choose();
        self.attempt(pool, request, &sending)
            .await
            .map_err(|failed| failed.error)
    }

    fn choose(&self) -> &Rc<Pool> {
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        &self.pools[turn % self.pools.len()]
    }

    /// Sends a request to one server: once more on a fresh connection when a pooled one turned out to be dead.
    async fn attempt(
        &self,
        pool: &Rc<Pool>,
        mut request: Request<RequestBody>,
        sending: &Sending,
    ) -> Result<Response<UpstreamBody>, Failed> {
        let final_failure = |error| Failed { error, again: None };
        sending
            .target
            .aim(&mut request, pool.server(), self.shared.host)
            .map_err(final_failure)?;
        if !sending.idempotent {
            // One turn of the runtime, so that connections whose end has arrived are known to be closed: there is no
            // second chance for this request once it has been written.
            tokio::task::yield_now().await;
        }
        let mut want = Want::Any;
        loop {
            let mut lease = match pool.acquire(want).await {
                Ok(lease) => lease,
                Err(error) => {
                    let again = Some(request);
                    return Err(Failed { error, again });
                }
            };
            let may_be_dead = lease.is_reused() && want == Want::Any;
            let spare = (sending.idempotent && may_be_dead)
                .then(|| copy(&request))
                .flatten();
            let unanswered = match self.exchange(&mut lease, request).await {
                Ok(response) => return sending.receive(response, lease).map_err(final_failure),
                Err(unanswered) => unanswered,
            };
            let failed = sending.judge(unanswered, spare);
            match failed.again {
                Some(again) if may_be_dead => request = again,
                _ => return Err(failed),
            }
            self.counters.upstream_retries.inc();
            want = Want::Fresh;
        }
    }

    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.counters.upstream_requests.inc();
        match lease.connection() {
            Some(connection) => {
                connection
                    .exchange(request, self.shared.response_timeout)
                    .await
            }
            None => Err(Unanswered {
                error: Error::internal(),
                unsent: Some(request),
                silent: true,
            }),
        }
    }
}

impl Sending {
    /// Whether the request may be sent again: as it came back unsent, or else as `spare`, its copy.
    fn judge(&self, unanswered: Unanswered, spare: Option<Request<RequestBody>>) -> Failed {
        let Unanswered {
            error,
            unsent,
            silent,
        } = unanswered;
        let untouched = self.upload.as_ref().is_none_or(Upload::is_untouched);
        Failed {
            error,
            again: unsent.or(spare.filter(|_| silent)).filter(|_| untouched),
        }
    }

    fn receive(
        &self,
        mut response: Response<Incoming>,
        lease: Lease,
    ) -> Result<Response<UpstreamBody>, Error> {
        let framing = inspect(&mut response, self.asked)?;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        // On a connection that has spoken HTTP/1.0, hyper drops the content of a chunked request without a word.
        let keep = response.version() != Version::HTTP_10;
        Ok(response.map(|incoming| {
            if upgraded {
                UpstreamBody::upgraded(incoming, lease)
            } else {
                UpstreamBody::new(incoming, framing, lease, keep, self.upload.clone())
            }
        }))
    }
}

/// A second request like this one; `None` when its content cannot be had twice.
fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = request.body().again()?;
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}
