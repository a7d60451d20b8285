//! What a request is, read once when it arrives: its method's class, its target, its route, and which of the fields
//! that touch a cache it has at all, so that a plain request asks no rule in vain.

pub(in crate::proxy) mod content;
mod derived;
pub(in crate::proxy) mod field_names;
mod head;
pub(in crate::proxy) mod peer;
mod recorded;
mod recording;
mod routed;
mod rules;
pub(in crate::proxy) mod target;
mod traits;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use http_body::Body as _;
use smallvec::SmallVec;

use self::head::read_head;
use self::recording::Recording;
use self::routed::{asked, find, route_method};
pub use self::rules::shown_key;
pub use self::target::Target;
pub use self::traits::{Class, Traits};
use crate::cache::collapse::Ask;
use crate::cache::head::ContentDigest;
use crate::cache::head::Head;
use crate::cache::key::KeyRef;
use crate::cache::resource::Resource;
use crate::cache::store::Store;
use crate::clock::{Monotonic, Now};
use crate::config::{Destination, Protocol, Readings, RoutePolicy, is_unreadable};
use crate::error::{Error, ErrorKind};
use crate::proxy::epoch::Epoch;
use crate::proxy::limit::{Client, Subject};
use crate::proxy::receipts::BOOKEND_AFTER;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::semantics::authority::path_and_query;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::hop_by_hop;
use crate::semantics::storability::{CLIENT_CERT, Credentials};
use crate::semantics::target::split_query;
use crate::semantics::upgrade;
use crate::upstream::Waiting;

/// A request that was understood.
#[derive(Debug)]
pub struct Request {
    pub peer: Rc<Peer>,
    pub epoch: Rc<Epoch>,
    pub route: Arc<RoutePolicy>,
    /// Those of strict APIs first.
    several: routed::Several,
    pub parts: Parts,
    /// Taken by whoever sends it on.
    pub content: Option<RequestContent>,
    pub class: Class,
    pub traits: Traits,
    /// As the route honours them.
    pub directives: RequestDirectives,
    pub credentials: Credentials,
    /// The target URI in its normal form, as the store's keys are written; what the client sent is in `parts`.
    pub target: Target,
    /// The key under which it is stored, where that is more than the target: see [`RequestRules`](crate::config::fields::RequestRules).
    keyed: Option<String>,
    /// The key under which it is stored, where that is another (No-Vary-Search).
    canonical: Option<String>,
    /// The user whose password the gateway has verified.
    pub user: Option<Box<str>>,
    /// The fields that the client has sent, where the route changes some.
    received: Option<Box<HeaderMap>>,
    /// Its id, once it has one.
    id: OnceCell<Box<str>>,
    /// For QUERY, once its content is read.
    pub digest: Option<ContentDigest>,
    /// When it arrived.
    pub began: Now,
    /// The latest reading of the clock.
    pub now: Now,
    /// Nothing that is stored and was asked for before answers without validation: the fleet may have invalidated it.
    pub asked_since: Option<Monotonic>,
    /// How far it has come on its way to the API; not for those that the store answers.
    pub waiting: Option<Waiting>,
    /// `None` where it is not recorded.
    recording: Option<Box<Recording>>,
}

impl Request {
    /// Understands a request's head: which fields of note it has, and its target. `before` is the target of another
    /// request, or none: its memory is used again, and what is known of it.
    ///
    /// # Errors
    /// With a downstream [`Error`] for what is malformed, or has passed through here before.
    pub fn understand(
        parts: &Parts,
        content: &RequestContent,
        peer: &Peer,
        epoch: &Epoch,
        before: Target,
    ) -> Result<(Traits, Target), Error> {
        let mut traits = Traits::of(&parts.headers);
        if !content.is_end_stream() {
            traits.add(Traits::CONTENT);
        }
        let target = read_head(parts, traits, peer, epoch, before)?;
        if is_unreadable(target.path_and_query())
            && epoch.settings.config.routes.default_alone().is_none()
        {
            return Err(Error::downstream(ErrorKind::BadRequest)
                .detail("the path is long and can be read in too many ways"));
        }
        Ok((traits, target))
    }

    /// A request whose head has been understood.
    pub fn new(
        mut parts: Parts,
        content: RequestContent,
        peer: &Rc<Peer>,
        epoch: Rc<Epoch>,
        now: Now,
        mut traits: Traits,
        mut target: Target,
    ) -> Self {
        if (traits.any(Traits::CLIENT_CERT) || peer.certificate.is_some())
            && peer.attest(
                &mut parts.headers,
                &epoch.settings.config.server.trusted_proxies,
            )
        {
            traits.add(Traits::CREDENTIALS);
        }
        let routes = &epoch.settings.config.routes;
        let (route, several) = routed::route(routes, &parts, &target);
        if !route.query.is_default() {
            target = target.reduced(&route.query);
        }
        // After the switch there is no place for the rest of a request, and in HTTP/2 there is no switch.
        if traits.any(Traits::UPGRADE)
            && (traits.any(Traits::CONTENT)
                || (epoch.settings.upstream_of(&route))
                    .is_none_or(|upstream| upstream.protocol != Protocol::Http1)
                || upgrade::offered(parts.version, &parts.headers).is_none())
        {
            traits.remove(Traits::UPGRADE);
        }
        let policy = &route.cache;
        let directives = if traits.any(Traits::DIRECTIVES) {
            RequestDirectives::parse(&parts.headers).honoured(&policy.honour)
        } else {
            RequestDirectives::default()
        };
        let credentials = if traits.any(Traits::CREDENTIALS) || !policy.credential_fields.is_empty()
        {
            Credentials::of(&parts.headers, policy)
        } else {
            Credentials::default()
        };
        Self {
            class: Class::of(&parts.method),
            peer: peer.clone(),
            epoch,
            route,
            several,
            parts,
            content: Some(content),
            traits,
            directives,
            credentials,
            target,
            keyed: None,
            canonical: None,
            user: None,
            received: None,
            id: OnceCell::new(),
            digest: None,
            began: now,
            now,
            asked_since: None,
            waiting: None,
            recording: None,
        }
    }

    pub fn key<'a>(&'a self, store: &Store) -> KeyRef<'a> {
        store.key(self.canonical.as_deref().unwrap_or(self.key_text()))
    }

    /// The text of its key, but for what No-Vary-Search says.
    fn key_text(&self) -> &str {
        self.keyed.as_deref().unwrap_or(self.target.as_str())
    }

    /// Finds out under which key it is stored, which other responses may change at any time.
    pub fn canonicalise(&mut self, store: &Store) {
        self.canonical = match store.canonical(self.key_text()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(canonical) => Some(canonical),
        };
    }

    /// Removes the fields that Connection names (RFC 9110 §7.6.1), before anything is selected or keyed by them: the API
    /// does not see them. Those that are not for one hop stay, whoever names them: by definition, since they carry
    /// credentials here, or since a stored response varies by them.
    pub fn drop_nominated(&mut self, store: &Store) {
        if !self.parts.headers.contains_key(CONNECTION) {
            return;
        }
        let mut nominated = hop_by_hop::nominated(&self.parts.headers);
        nominated
            .retain(|name| !self.route.cache.credential_fields.contains(name) && !self.keeps(name));
        if nominated.is_empty() {
            return;
        }
        let resource = store.look_up(self.key(store));
        let stored = resource.iter().flat_map(Resource::variants);
        let variants = stored.filter_map(|stored| stored.head.variant());
        for name in nominated {
            if !variants.clone().any(|variant| variant.has(&name)) {
                self.parts.headers.remove(&name);
                if let Some(received) = &mut self.received {
                    received.remove(&name);
                }
            }
        }
    }

    /// Takes off the receipts that it names. Where any of them is not known here, nothing that is stored answers without
    /// validation, whatever the route honours, and no fill that has begun before; and they go on, to the gateway that gave them.
    pub fn heed_receipts(&mut self, are_all_known: impl Fn(&HeaderMap) -> bool) {
        if !are_all_known(self.received()) {
            self.directives.no_cache = true;
            self.traits.add(Traits::NOTHING_OLDER);
            return;
        }
        self.parts.headers.remove(BOOKEND_AFTER);
        if let Some(received) = &mut self.received {
            received.remove(BOOKEND_AFTER);
        }
    }

    /// Whether the fleet may have invalidated a response with this head, so that it does not answer without validation.
    pub fn is_too_old(&self, head: &Head) -> bool {
        self.asked_since
            .is_some_and(|since| head.requested() < since)
    }

    /// Takes off the credentials that were for the gateway itself: the API does not get them, and they are none for the store.
    pub fn drop_authorization(&mut self) {
        if let Some(received) = self.received.take() {
            self.parts.headers = *received;
        }
        let fields = &mut self.parts.headers;
        fields.remove(AUTHORIZATION);
        if !fields.contains_key(COOKIE) && !fields.contains_key(CLIENT_CERT) {
            self.traits.remove(Traits::CREDENTIALS);
        }
        self.credentials = Credentials::of(&self.parts.headers, &self.route.cache);
        // One that the route sets is for the API.
        self.follow_rules();
    }

    /// Has the API do no CORS, where the gateway does: one response is stored for all origins.
    pub fn drop_origin(&mut self) {
        if let Some(received) = &mut self.received {
            received.remove(ORIGIN);
        }
        if !self.keeps(&ORIGIN) {
            self.parts.headers.remove(ORIGIN);
            self.traits.remove(Traits::ORIGIN);
        }
    }

    /// What a fill for it would ask, as far as others compare with that.
    pub fn ask(&self) -> Ask {
        Ask {
            headers: self.headers().clone(),
            digest: self.digest,
            span: self.span_context(),
        }
    }

    /// Whom it is counted for: as a trusted proxy names its client. `None` where the proxy names nobody, or another proxy:
    /// the clients of all are not one client.
    pub fn client_behind_proxies(&self) -> Option<Client> {
        let proxies = &self.epoch.settings.config.server.trusted_proxies;
        let address = self.peer.client(self.received(), proxies)?;
        let is_proxy = proxies.iter().any(|net| net.contains(&address));
        (!is_proxy).then(|| address.into())
    }

    /// The client's address; `None` where nobody says it.
    pub fn address(&self) -> Option<IpAddr> {
        let proxies = &self.epoch.settings.config.server.trusted_proxies;
        self.peer.client(self.received(), proxies)
    }

    /// Whether a trusted proxy has sent it.
    pub fn is_from_proxy(&self) -> bool {
        let proxies = &self.epoch.settings.config.server.trusted_proxies;
        self.peer.is_trusted(proxies)
    }

    /// The routes that its path may be read as, each once.
    pub fn readings(&self) -> Readings<'_> {
        match &self.several {
            Some(several) => return several.iter().collect(),
            None if self.route.destination == Destination::Dotted => {}
            None => return Readings::from_iter([&self.route]),
        }
        let routes = &self.epoch.settings.config.routes;
        let method = route_method(&self.parts, &self.target, routes);
        routes.readings(asked(routes, &self.target, &method))
    }

    /// The route that takes it as strict APIs read its path, and that it is counted for; `route` is the policy that it has.
    pub fn strict_route(&self) -> &Arc<RoutePolicy> {
        let strict = self.several.iter().flatten().next();
        strict.unwrap_or(&self.route)
    }

    /// The route that takes a request for the same target with this method.
    pub fn route_of(&self, method: &Method) -> &Arc<RoutePolicy> {
        let routes = &self.epoch.settings.config.routes;
        routes.find(asked(routes, &self.target, method))
    }

    /// The policy that a request for the same target with this method has.
    fn routed(&self, method: &Method) -> (Arc<RoutePolicy>, routed::Several) {
        let routes = &self.epoch.settings.config.routes;
        find(routes, asked(routes, &self.target, method))
    }

    /// Its fields as they go on: see [`received`](Self::received).
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Its target URI in normal form, with all parameters of its query: those that its own route leaves out may be in the keys of
    /// another method's.
    pub fn whole_target(&self) -> Target {
        let target = self.target.clone();
        match self.route.query.is_default() {
            true => target,
            false => target.with(&self.path_and_query()),
        }
    }

    /// Path and query in the client's own octets, which are what goes upstream.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        path_and_query(&self.parts.method, &self.parts.uri)
            .unwrap_or_else(|_| Cow::Borrowed(self.target.path_and_query()))
    }

    /// Path and query as the API gets them, without its base path.
    ///
    /// # Errors
    /// With a downstream [`Error`] where the path leads out of what the route's rewrite begins with.
    pub fn api_path_and_query(&self) -> Result<Cow<'_, str>, Error> {
        let own = self.path_and_query();
        if self.route.rewrite.is_none() {
            return Ok(own);
        }
        let (path, _) = split_query(&own);
        let query = &own[path.len()..];
        // In the client's own octets, where the route's literal text can be found in them.
        let sent = self.route.api_path(path).or_else(|| {
            let (normal, _) = split_query(self.target.path_and_query());
            self.route.api_path(normal)
        });
        match sent {
            Some(sent) => Ok(Cow::Owned(format!("{sent}{query}"))),
            None => Err(Error::downstream(ErrorKind::BadRequest)
                .detail("the path leads out of what its route is rewritten to")),
        }
    }

    /// How long the exchange may last.
    pub fn time_limit(&self) -> Option<Duration> {
        let server = &self.epoch.settings.config.server;
        self.route
            .exchange_timeout
            .unwrap_or(server.exchange_timeout)
    }

    /// Whether the cache is not asked at all: the route says so, or the request has content that a GET's has no
    /// meaning for (RFC 9110 §9.3.1), or wants another protocol, or a handover is under way.
    pub fn is_bypassed(&self) -> bool {
        let content = self.class != Class::Query && self.traits.any(Traits::CONTENT);
        self.route.bypass || content || self.traits.any(Traits::PASSED)
    }
}

impl Subject for Request {
    fn fields(&self) -> &HeaderMap {
        self.received()
    }

    fn now(&self) -> Monotonic {
        self.now.mono
    }

    fn client(&self) -> Option<Client> {
        self.address().map(Into::into)
    }

    fn routes(&self) -> SmallVec<[&str; 2]> {
        let routes = self.readings().into_iter();
        routes.map(|route| route.name.as_str()).collect()
    }
}
