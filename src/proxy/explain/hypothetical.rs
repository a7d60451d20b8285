//! A request that nobody has sent, read as one that a client sends: the same steps up to the look-up, without a connection, and
//! nothing is counted or changed by it.

use std::rc::Rc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request as Message, Version};
use http_body_util::Empty;

use crate::config::Destination;
use crate::error::{Error, ErrorKind};
use crate::proxy::epoch::Epoch;
use crate::proxy::gate::dotted;
use crate::proxy::gate::explained::{Foreseen, foresee};
use crate::proxy::gateway::Gateway;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::proxy::request::{Request, Target, Traits};
use crate::proxy::response::trace::is_asked_for;
use crate::semantics::authority::Scheme;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, path_and_query};
use crate::telemetry::latest::Latest;

/// What the operator wants to know of.
#[derive(Clone, Debug)]
pub struct Question {
    /// As it was given.
    pub url: String,
    pub selector: Selector,
    pub method: Method,
    /// The fields of the request.
    pub fields: HeaderMap,
}

/// The request, what its route's gate does, and the latest outcome of such a request.
pub(super) struct Hypothetical {
    pub request: Request,
    pub met: Foreseen,
    pub latest: Option<Latest>,
}

impl Gateway {
    /// The request of a question. Where that names a path alone, it is for the host of which most is known.
    ///
    /// # Errors
    /// With the downstream [`Error`] that such a request would be answered with.
    pub(super) fn hypothetical(&self, question: &Question) -> Result<Hypothetical, Error> {
        let epoch = Rc::new(Epoch::of_settings(self));
        let targets = self.targets(question);
        let mut best: Option<(u8, Hypothetical)> = None;
        for target in targets {
            let read = self.read(question, &target, epoch.clone())?;
            let is_stored = self
                .store
                .look_up(read.request.key(&self.store))
                .is_some_and(|resource| !resource.variants().is_empty());
            let known = u8::from(read.latest.is_some()) + 2 * u8::from(is_stored);
            if best.as_ref().is_none_or(|(most, _)| known > *most) {
                best = Some((known, read));
            }
        }
        best.map(|(_, read)| read).ok_or_else(Error::internal)
    }

    /// The target URIs that may be meant, the likeliest first; at least one.
    fn targets(&self, question: &Question) -> Vec<String> {
        let selector = &question.selector;
        if selector.authority().is_some() {
            return vec![selector.target_beside("").unwrap_or_default()];
        }
        let path = selector.path();
        let host = question
            .fields
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        if let Some(host) = host {
            return vec![format!("http://{host}{path}")];
        }
        let stored = self.store.find(&self.in_key_form(selector.clone()), 4);
        let stored = stored.iter();
        let stored = stored.map(|(key, _)| Box::<str>::from(origin_of(key.as_str())));
        let asked = self.metrics.workers.iter();
        let asked = asked.flat_map(|counters| counters.latest.origins());
        let mut origins: Vec<Box<str>> = stored.chain(asked).collect();
        origins.push("http://localhost".into());
        let mut seen = Vec::new();
        origins.retain(|origin| {
            let is_new = !seen.contains(origin);
            seen.push(origin.clone());
            is_new
        });
        let origins = origins.iter();
        origins.map(|origin| format!("{origin}{path}")).collect()
    }

    fn read(
        &self,
        question: &Question,
        target: &str,
        epoch: Rc<Epoch>,
    ) -> Result<Hypothetical, Error> {
        let (scheme, authority) = origin_of(target).split_once("://").unwrap_or_default();
        let scheme = Scheme::parse(scheme).unwrap_or(Scheme::Http);
        // A peer without an address is trusted, so that X-Forwarded-For names the client.
        let peer = Rc::new(Peer::of(None, scheme));
        let message = Message::builder()
            .method(question.method.clone())
            .uri(path_and_query(target))
            .version(Version::HTTP_11)
            .body(());
        let (mut parts, ()) = message.map_err(|error| bad(&error))?.into_parts();
        parts.headers = question.fields.clone();
        let host = HeaderValue::from_str(authority);
        parts
            .headers
            .insert(HOST, host.map_err(|error| bad(&error))?);
        let content = RequestContent::from_body(Empty::new());
        let (mut traits, target) =
            Request::understand(&parts, &content, &peer, &epoch, Target::default())?;
        if self.is_handing_over() {
            traits.add(Traits::HANDOVER);
        }
        if traits.any(Traits::DEBUG) {
            is_asked_for(&mut parts.headers, &epoch.settings.config);
            traits.remove(Traits::DEBUG);
        }
        let now = self.clock.now();
        let mut request = Request::new(parts, content, &peer, epoch, now, traits, target);
        if request.route.destination == Destination::Dotted {
            return Err(dotted());
        }
        request.follow_rules();
        request.canonicalise(&self.store);
        request.asked_since = self.membership.asked_since(now.mono);
        if request.traits.any(Traits::OWN_FIELDS) {
            if request.traits.any(Traits::AFTER) {
                request.heed_receipts(|fields| self.has_all_of(fields));
            }
            request.drop_nominated(&self.store);
        }
        let met = foresee(&mut request, &self.verifier);
        let latest = self.latest(request.key(&self.store).hash());
        Ok(Hypothetical {
            request,
            met,
            latest,
        })
    }

    /// What became of the latest response for the key with this hash, over all workers.
    fn latest(&self, hash: u64) -> Option<Latest> {
        let workers = self.metrics.workers.iter();
        let found = workers.filter_map(|counters| counters.latest.find(hash));
        found.reduce(Latest::joined)
    }
}

fn bad(error: &dyn std::error::Error) -> Error {
    Error::downstream(ErrorKind::BadRequest).detail(error.to_string())
}
