//! One HTTP/1.1 connection, which carries one request at a time: the engine that reads and writes its socket, and the
//! timer of its exchanges.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::{Request, Response};
use http_body::Frame;

use crate::error::Error;
use crate::upstream::deadline::Deadline;
use crate::upstream::http1::hyper_engine::HyperEngine;
use crate::upstream::http1::native_engine::{Content, NativeEngine};
use crate::upstream::incoming::Incoming;
use crate::upstream::limits::HeadLimits;
use crate::upstream::names::address::Address;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::wire::{Traffic, Wire};

#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    engine: Engine,
    head: HeadLimits,
    traffic: Arc<Traffic>,
    deadline: Deadline,
    reused: bool,
    address: Option<Arc<Address>>,
}

/// The engine that reads and writes a connection. It changes only between two exchanges.
#[derive(Debug)]
enum Engine {
    Native(Box<NativeEngine>),
    Hyper(Box<HyperEngine>),
    /// The connection broke in the change from one to the other.
    Broken,
}

impl Connection {
    /// `address` is where it leads; `None` for a Unix socket.
    pub(in crate::upstream) fn new(
        wire: Wire,
        head: HeadLimits,
        address: Option<Arc<Address>>,
    ) -> Self {
        Self {
            traffic: wire.traffic(),
            engine: Engine::Native(Box::new(NativeEngine::new(wire, head))),
            head,
            deadline: Deadline::default(),
            reused: false,
            address,
        }
    }

    /// The address that it leads to; none for a Unix socket.
    pub(in crate::upstream) fn address(&self) -> Option<&Address> {
        self.address.as_deref()
    }

    /// Whether its server's name no longer resolves to its address.
    pub(in crate::upstream) fn is_retired(&self) -> bool {
        self.address().is_some_and(Address::is_retired)
    }

    /// Whether another request may be sent at once.
    pub(in crate::upstream) fn is_ready(&mut self) -> bool {
        match &mut self.engine {
            Engine::Native(native) => native.is_ready(),
            Engine::Hyper(hyper) => hyper.is_ready(),
            Engine::Broken => false,
        }
    }

    /// Whether it will never be ready again.
    pub(in crate::upstream) fn is_closed(&self) -> bool {
        match &self.engine {
            // Its exchange has ended, or has failed.
            Engine::Native(_) | Engine::Broken => true,
            Engine::Hyper(hyper) => hyper.is_closed(),
        }
    }

    #[cfg(test)]
    pub(in crate::upstream) fn is_native(&self) -> bool {
        matches!(self.engine, Engine::Native(_))
    }

    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(in crate::upstream) fn mark_reused(&mut self) {
        self.reused = true;
    }

    pub(in crate::upstream) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Closes the socket, whatever is on its way.
    pub(in crate::upstream) fn abort(mut self) {
        if let Engine::Hyper(hyper) = &mut self.engine {
            hyper.abort();
        }
    }

    /// The next part of a response's content; `None` after its end.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        upload: Option<&Upload>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match (&mut self.engine, incoming) {
            (Engine::Native(native), Incoming::Native(content)) => native.poll_frame(content, cx),
            (Engine::Hyper(hyper), incoming) => {
                hyper.poll_until(cx, |cx| incoming.poll_frame(cx, upload))
            }
            (_, incoming) => incoming.poll_frame(cx, upload),
        }
    }

    /// The exchange is over, and nothing of the connection is waited for. Returns whether another request may be sent.
    #[must_use]
    pub(in crate::upstream) fn end_exchange(&mut self) -> bool {
        if let Engine::Hyper(hyper) = &mut self.engine {
            let Some(wire) = hyper.end_exchange() else {
                return hyper.is_ready();
            };
            self.engine = Engine::Native(Box::new(NativeEngine::new(wire, self.head)));
        }
        true
    }

    /// Sends `request` and waits for a response's head, at most `timeout` from when the upstream had all that there
    /// was to send. Interim responses do not prolong that.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.traffic.begin_request();
        let is_native = matches!(request.body(), RequestBody::Empty)
            && !request.headers().contains_key(UPGRADE);
        match &mut self.engine {
            Engine::Native(native) if is_native => {
                let exchange = native.exchange(request, timeout, &self.traffic, &mut self.deadline);
                // Its framing is set when the head has been inspected.
                let head = exchange.await?;
                Ok(head.map(|()| Incoming::Native(Content::Ended)))
            }
            // Larger, and rarer.
            _ => Box::pin(self.exchange_hyper(request, timeout)).await,
        }
    }

    async fn exchange_hyper(
        &mut self,
        request: Request<RequestBody>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, Unanswered> {
        let unsent = |request, error| Unanswered {
            error,
            unsent: Some(request),
            resend: Resend::IfIdempotent,
        };
        if let Engine::Native(_) = &self.engine
            && let Engine::Native(native) = std::mem::replace(&mut self.engine, Engine::Broken)
        {
            match HyperEngine::start(native.into_wire(), self.head).await {
                Ok(hyper) => self.engine = Engine::Hyper(Box::new(hyper)),
                Err(error) => return Err(unsent(request, error)),
            }
        }
        let Engine::Hyper(hyper) = &mut self.engine else {
            return Err(unsent(request, Error::internal()));
        };
        let answer = hyper.exchange(request, timeout, &self.traffic, &mut self.deadline);
        answer.await.map(|answer| answer.map(Incoming::Hyper))
    }

    /// Waits until the request's content has been sent, after its response has ended.
    ///
    /// Fails when the connection closes, or when the server takes nothing for `stall`.
    pub(in crate::upstream) async fn finish_sending(
        &mut self,
        stall: Duration,
        upload: Option<&Upload>,
    ) -> Result<(), ()> {
        let (traffic, deadline) = (&self.traffic, &mut self.deadline);
        match &mut self.engine {
            Engine::Hyper(hyper) => hyper.finish_sending(stall, traffic, deadline, upload).await,
            Engine::Native(_) | Engine::Broken => Err(()),
        }
    }
}
