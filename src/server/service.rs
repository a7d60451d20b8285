//! The gateway as what answers behind the door.

use std::rc::Rc;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{Peer, Service};
use crate::error::Error;
use crate::proxy::{Body, Worker};

impl Service for Worker {
    type Body = Body;

    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> {
        Worker::handle(self, peer, request)
    }

    fn refuse(self: &Rc<Self>, _peer: &Rc<Peer>, error: Error) -> Response<Body> {
        Worker::refuse(self, &error)
    }

    fn drained(self: &Rc<Self>) -> impl Future<Output = ()> {
        Worker::drained(self)
    }
}
