//! The gateway as a service of the server.

use std::rc::Rc;

use http::Response;
use http::request::Parts;

use super::service::{ResponseContent, Service};
use crate::error::{Error, ErrorKind};
use crate::proxy::{Answer, Body, Peer, RequestContent, Worker};

impl ResponseContent for Body {
    fn cut_off(&mut self, why: ErrorKind) {
        self.fails(why);
    }
}

impl Service for Worker {
    type Body = Body;

    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        parts: Parts,
        content: RequestContent,
    ) -> Answer<Body> {
        Worker::handle(self, peer, parts, content)
    }

    fn refuse(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        error: Error,
        parts: Option<&Parts>,
    ) -> Response<Body> {
        Worker::refuse(self, peer, &error, parts)
    }

    fn drained(self: &Rc<Self>) -> impl Future<Output = ()> {
        Worker::drained(self)
    }
}
