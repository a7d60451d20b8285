//! One line in the access log for each response, when its last byte has gone or its client has.

use std::rc::Rc;

use http::header::{HOST, HeaderValue, REFERER, USER_AGENT};
use http::{Method, Response, StatusCode, Version};

use super::body::{Body, Trail};
use super::peer::Peer;
use super::receive::Inquiry;
use super::worker::Worker;
use crate::clock::{Clock, Now};
use crate::error::ErrorKind;
use crate::semantics::cache_status::CacheStatus;
use crate::telemetry::access::{AccessWriter, Record};

/// What the line will tell; written when it drops.
#[derive(Debug)]
struct Line {
    log: Rc<AccessWriter>,
    clock: Clock,
    began: Now,
    peer: Rc<Peer>,
    method: Method,
    target: Box<str>,
    host: Option<HeaderValue>,
    version: Version,
    status: StatusCode,
    bytes: u64,
    cache: Box<[u8]>,
    failure: Option<ErrorKind>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
}

/// Has the line for `response` written at its end.
pub fn follow(
    worker: &Worker,
    response: &mut Response<Body>,
    inquiry: &Inquiry,
    status: &CacheStatus,
) {
    let mut cache = Vec::new();
    status.write_to(&inquiry.epoch.settings.identity.name, &mut cache);
    let field = |name| inquiry.headers().get(name).cloned();
    let line = Line {
        log: worker.access.clone(),
        clock: worker.gateway.clock.clone(),
        began: inquiry.began,
        peer: inquiry.peer.clone(),
        method: inquiry.method().clone(),
        target: inquiry.path_and_query().into(),
        host: field(HOST),
        version: inquiry.parts.version,
        status: response.status(),
        bytes: 0,
        cache: cache.into(),
        failure: response.extensions().get().copied(),
        user_agent: field(USER_AGENT),
        referer: field(REFERER),
    };
    response.body_mut().set_trail(Box::new(line));
}

impl Trail for Line {
    fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    fn failed(&mut self, why: ErrorKind) {
        self.failure = Some(why);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let now = self.clock.now();
        self.log.log(&Record {
            time: self.began.wall,
            peer: self.peer.addr,
            method: &self.method,
            target: &self.target,
            host: self.host.as_ref().and_then(|host| host.to_str().ok()),
            version: self.version,
            status: self.status,
            bytes: self.bytes,
            duration: now.mono.since(self.began.mono),
            cache: std::str::from_utf8(&self.cache).ok(),
            failure: self.failure,
            user_agent: self.user_agent.as_ref(),
            referer: self.referer.as_ref(),
        });
    }
}
