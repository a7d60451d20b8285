//! A request over all attempts to send it.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};

use crate::config::HostPolicy;
use crate::error::Error;
use crate::telemetry::traces::Parent;
use crate::upstream::attempt_span::AttemptSpan;
use crate::upstream::incoming::Incoming;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::outgoing::{Maker, Outgoing};
use crate::upstream::pool::Lease;
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::request_head::{Target, frame};
use crate::upstream::response_body::{After, UpstreamBody};
use crate::upstream::response_head::{Asked, inspect};
use crate::upstream::server::Server;
use crate::upstream::waiting::Waiting;

pub(in crate::upstream) struct PendingRequest<'a> {
    /// `None` while it is on its way, and when it may not be sent again. It is large, and stays in this place until it
    /// is handed to a connection.
    pub(super) request: Option<Request<RequestBody>>,
    make: Option<&'a Maker<'a>>,
    target: Target,
    asked: Asked,
    upload: Option<Upload>,
    idempotent: bool,
    response_timeout: Option<Duration>,
    max_retries: Option<usize>,
    hash: Option<u64>,
    waiting: Waiting,
    pub(super) trace: Option<Rc<Parent>>,
    /// How often it was to be sent until now, where it is recorded.
    pub(super) resent: u32,
}

impl<'a> PendingRequest<'a> {
    pub(in crate::upstream) fn new(outgoing: Outgoing, make: Option<&'a Maker<'a>>) -> Self {
        let Outgoing {
            upstream: _,
            mut request,
            idempotent,
            response_timeout,
            max_retries,
            hash,
            waiting,
            trace,
        } = outgoing;
        frame(&mut request);
        Self {
            target: Target::of(&request),
            asked: Asked::of(&request),
            upload: request.body().upload(),
            idempotent,
            response_timeout,
            max_retries,
            hash,
            waiting: waiting.unwrap_or_default(),
            make,
            trace,
            resent: 0,
            request: Some(request),
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.idempotent
    }

    /// Its own deadline for a response, where it has one.
    pub(super) fn response_timeout(&self) -> Option<Duration> {
        self.response_timeout
    }

    /// On how many other servers it is tried, where it has a limit of its own.
    pub(super) fn max_retries(&self) -> Option<usize> {
        self.max_retries
    }

    pub(super) fn hash(&self) -> Option<u64> {
        self.hash
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Whether it is here, and may be sent.
    pub(super) fn is_sendable(&self) -> bool {
        self.request.is_some()
    }

    /// Sets the parts that depend on the server. A request for which this fails is not sent to another server either.
    pub(super) fn set_server(&mut self, server: &Server, host: HostPolicy) -> Result<(), Error> {
        let set = match &mut self.request {
            Some(request) => self.target.set_server(request, server, host),
            None => Err(Error::internal()),
        };
        if set.is_err() {
            self.request = None;
        }
        set
    }

    /// A copy to be sent again, where it cannot be made anew later.
    pub(super) fn copy(&self) -> Option<Request<RequestBody>> {
        match self.make {
            Some(_) => None,
            None => self.request.as_ref().map(copy),
        }
    }

    /// The request itself, to be handed to a connection.
    pub(super) fn take(&mut self) -> Result<Request<RequestBody>, Error> {
        let request = self.request.take().ok_or_else(Error::internal)?;
        self.waiting.sent();
        Ok(request)
    }

    /// Puts the request back where it may be sent again: as it came back unsent, as its copy, or made anew.
    pub(super) fn restore(
        &mut self,
        unanswered: Unanswered,
        copy: Option<Request<RequestBody>>,
    ) -> Error {
        let Unanswered {
            error,
            unsent,
            resend,
        } = unanswered;
        let may_resend = match resend {
            Resend::Always => true,
            Resend::IfIdempotent => self.idempotent,
            Resend::Never => false,
        };
        self.request = match unsent {
            None if may_resend => copy.or_else(|| {
                let mut request = self.make?()?;
                frame(&mut request);
                Some(request)
            }),
            unsent => unsent,
        };
        if self.request.is_some() && !self.upload.as_ref().is_none_or(Upload::rewind) {
            self.request = None;
        }
        error
    }

    /// The response, once its head has been inspected.
    pub(super) fn receive(
        &self,
        mut response: Response<Incoming>,
        lease: Lease,
        mut span: AttemptSpan,
    ) -> Result<Response<UpstreamBody>, Error> {
        span.answered(&response);
        let framing = inspect(&mut response, self.asked).inspect_err(|error| span.failed(error))?;
        let switched = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
            .then(|| hyper::upgrade::on(&mut response));
        let after = if self.upload.as_ref().is_some_and(Upload::is_refused) {
            // Content that was announced and never sent ends the connection (RFC 9110 §10.1.1).
            After::Close
        } else if response.version() == Version::HTTP_10
            || (self.upload.as_ref())
                .is_some_and(|upload| upload.may_be_refused_unread(response.status()))
        {
            // On a connection that has spoken HTTP/1.0, hyper drops the content of the next chunked request. One whose server
            // refuses content early may be closed at any moment, and a write that is sent on it then is lost.
            After::Finish
        } else {
            After::Keep
        };
        if let Some(upload) = &self.upload {
            // From here on, both directions may take any time.
            upload.limit_stalls(false);
            upload.forget();
        }
        Ok(response.map(|incoming| match switched {
            Some(switched) => UpstreamBody::switched(incoming, switched, lease),
            None => UpstreamBody::new(incoming, framing, lease, after, self.upload.clone(), span),
        }))
    }
}

/// A second request like this one, with the same content.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().share());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}
