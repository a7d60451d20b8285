//! One exchange with the API: for a fill, for a request that is passed on, for an If-Match. What else may have a response
//! is asked here before the API is.

use std::pin::pin;
use std::rc::Rc;

use http::{HeaderMap, Response};

use crate::clock::Now;
use crate::config::RoutePolicy;
use crate::error::Error;
use crate::proxy::epoch::Epoch;
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::forward::fields;
use crate::proxy::request::target::Target;
use crate::proxy::worker::Worker;
use crate::semantics::tags;
use crate::upstream::{Maker, Outgoing, UpstreamBody};

/// On whose behalf the API is asked.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub worker: &'a Rc<Worker>,
    pub epoch: &'a Epoch,
    pub route: &'a RoutePolicy,
    /// As the client named it.
    pub target: &'a Target,
    /// The client's request fields.
    pub fields: &'a HeaderMap,
}

/// Asks the API, and returns its answer when its head is here. `make` makes the request anew where it has to be sent again.
///
/// # Errors
/// An [`Error`] of either side.
pub async fn fetch(
    context: Context<'_>,
    outgoing: Outgoing,
    make: Option<&Maker<'_>>,
) -> Result<(Response<UpstreamBody>, Now), Error> {
    let requested = context.worker.gateway.clock.now();
    // Pinned where it is made: it is large, and would be copied as what is awaited.
    let sending = pin!(context.epoch.upstreams.send_made(outgoing, make));
    Ok((sending.await?, requested))
}

impl Context<'_> {
    /// The API's answer to a request that was sent at `requested`, as it goes on from here: with fields that the client can
    /// use. What it shows of its API is remembered. `as_asked`: the client's own preconditions and Range were sent.
    pub fn arrived(
        self,
        response: Response<UpstreamBody>,
        requested: Now,
        as_asked: bool,
    ) -> Box<Arrived> {
        let received = self.worker.gateway.clock.now();
        let (mut parts, body) = response.into_parts();
        let mut headers = parts.headers;
        let settings = &self.epoch.settings;
        fields::response_fields(
            &mut headers,
            received.wall,
            body.server(),
            settings,
            self.route,
            self.target,
        );
        let tag_fields = &self.route.cache.tag_fields;
        let tags = match self.route.keep_tag_fields {
            true => tags::copied(&headers, tag_fields),
            false => tags::take(&mut headers, tag_fields),
        };
        let (cors, target) = (self.worker.gateway.store.cors(), self.target.as_str());
        cors.learn(target, &headers);
        cors.note_grant(target, &self.route.name, self.fields, &headers);
        Box::new(Arrived {
            status: parts.status,
            reason: parts.extensions.remove(),
            headers,
            tags,
            body,
            requested,
            received,
            as_asked,
            invalidation: None,
        })
    }
}
