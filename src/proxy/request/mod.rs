//! What a request is, read once when it arrives: its method's class, its target, its route, and which of the fields
//! that touch a cache it has at all, so that a plain request asks no rule in vain.

pub(in crate::proxy) mod content;
pub(in crate::proxy) mod peer;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, PRAGMA,
    TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use tokio::time::Instant;

use crate::cache::collapse::Ask;
use crate::cache::head::ContentDigest;
use crate::cache::key::KeyRef;
use crate::cache::store::Store;
use crate::cache::stored::Resource;
use crate::clock::{Now, timer_now};
use crate::config::{Protocol, RoutePolicy};
use crate::error::{Error, ErrorKind};
use crate::proxy::forward::fields::{CDN_LOOP, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::proxy::interim::Hints;
use crate::proxy::limit::Quotas;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::peer::Peer;
use crate::proxy::response::body::Body;
use crate::proxy::worker::Epoch;
use crate::semantics::authority::{BadTarget, Scheme, TargetUri, TargetView, path_and_query};
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::endless::is_endless;
use crate::semantics::hop_by_hop;
use crate::semantics::invalidation::is_safe;
use crate::semantics::list::members;
use crate::semantics::percent;
use crate::semantics::query::is_query;
use crate::semantics::storability::Credentials;
use crate::semantics::upgrade;
use crate::semantics::validation::strip_conditionals;
use crate::upstream::Waiting;

/// What the cache makes of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Get,
    Head,
    Query,
    /// Safe, and its responses are not stored: OPTIONS, TRACE.
    Other,
    /// Unsafe or unknown: a success invalidates.
    Unsafe,
}

impl Class {
    fn of(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            _ if is_query(method) => Self::Query,
            _ if is_safe(method) => Self::Other,
            _ => Self::Unsafe,
        }
    }

    /// Whether a stored response may answer it.
    pub fn is_looked_up(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Query)
    }
}

/// Which fields of note a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts(u16);

impl Facts {
    pub const DIRECTIVES: Self = Self(1);
    pub const CREDENTIALS: Self = Self(1 << 1);
    /// If-None-Match or If-Modified-Since.
    pub const CONDITIONS: Self = Self(1 << 2);
    /// If-Match or If-Unmodified-Since.
    pub const ORIGIN_CONDITIONS: Self = Self(1 << 3);
    pub const RANGE: Self = Self(1 << 4);
    /// The client may want less than the whole.
    pub const SELECTIVE: Self = Self(Self::CONDITIONS.0 | Self::RANGE.0);
    pub const CONTENT: Self = Self(1 << 5);
    pub const CDN_LOOP: Self = Self(1 << 6);
    pub const FORWARDED: Self = Self(1 << 7);
    /// An offer to change the protocol, which is passed on.
    pub const UPGRADE: Self = Self(1 << 8);
    /// What is for this hop, or frames the request on it.
    pub const THIS_HOP: Self = Self(1 << 9);
    pub const ORIGIN: Self = Self(1 << 10);

    pub fn of(headers: &HeaderMap) -> Self {
        let mut facts = Self::default();
        for name in headers.keys() {
            facts.0 |= match name.as_str() {
                "cache-control" | "pragma" => Self::DIRECTIVES.0,
                "authorization" | "cookie" => Self::CREDENTIALS.0,
                "if-none-match" | "if-modified-since" => Self::CONDITIONS.0,
                "if-match" | "if-unmodified-since" => Self::ORIGIN_CONDITIONS.0,
                "range" => Self::RANGE.0,
                "origin" => Self::ORIGIN.0,
                "cdn-loop" => Self::CDN_LOOP.0,
                "x-forwarded-proto" | "x-forwarded-host" | "forwarded" => Self::FORWARDED.0,
                "upgrade" => Self::UPGRADE.0 | Self::THIS_HOP.0,
                "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer"
                | "transfer-encoding" | "content-length" | "expect" => Self::THIS_HOP.0,
                _ => 0,
            };
        }
        facts
    }

    /// Whether it has any of these.
    pub fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// A request that was understood.
#[derive(Debug)]
pub struct Inquiry {
    pub peer: Rc<Peer>,
    pub epoch: Rc<Epoch>,
    pub route: Arc<RoutePolicy>,
    pub parts: Parts,
    /// Taken by whoever sends it on.
    pub content: Option<RequestContent>,
    pub class: Class,
    pub facts: Facts,
    /// As the route honours them.
    pub directives: RequestDirectives,
    pub credentials: Credentials,
    /// The target URI in its normal form, as the store's keys are written; what the client sent is in `parts`.
    pub target: Target,
    /// The target under which it is stored, where that is another (No-Vary-Search).
    canonical: Option<String>,
    /// For QUERY, once its content is read.
    pub digest: Option<ContentDigest>,
    /// When it arrived.
    pub began: Now,
    /// The latest reading of the clock.
    pub now: Now,
    /// Where interim responses to it go: not for those that the store answers, nor on HTTP/1.0 and HTTP/2.
    pub hints: Option<Hints>,
    /// How far it has come on its way to the API; not for those that the store answers.
    pub waiting: Option<Waiting>,
    /// When the time of the whole exchange is over; set for those that the store does not answer at once.
    pub until: Option<Instant>,
    /// What the response tells of the client's limits.
    pub quotas: Option<Box<Quotas>>,
}

/// A target URI in one piece, in normal form (RFC 3986 §6.2.2).
#[derive(Clone, Debug, Default)]
pub struct Target {
    text: String,
    scheme: Option<Scheme>,
    /// Where the path begins.
    path: usize,
}

impl Target {
    /// Reuses the memory of `before`.
    fn write(view: &TargetView<'_>, before: Self) -> Self {
        let mut text = before.text;
        text.clear();
        let (scheme, authority) = (view.scheme.as_str(), &view.authority);
        // One growth at most: only what is answered at once gives the memory back.
        text.reserve(scheme.len() + "://".len() + authority.len() + view.path_and_query.len());
        text.push_str(scheme);
        text.push_str("://");
        text.push_str(authority);
        let path = text.len();
        percent::push_normal(&view.path_and_query, &mut text);
        Self {
            text,
            scheme: Some(view.scheme),
            path,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Another target of the same origin.
    fn with(mut self, path_and_query: &str) -> Self {
        self.text.truncate(self.path);
        percent::push_normal(path_and_query, &mut self.text);
        self
    }

    /// Whether `request`, which came over `scheme`, names this origin, in the same octets. It is in normal form, so
    /// that there is nothing more to find out about it.
    fn shares_origin(&self, request: &Parts, scheme: Scheme) -> bool {
        let headers = &request.headers;
        let no_name_twice = headers.len() == headers.keys_len();
        no_name_twice
            && self.scheme == Some(scheme)
            && request.version == Version::HTTP_11
            && request.uri.authority().is_none()
            && headers
                .iter()
                .find(|(name, _)| *name == HOST)
                .is_some_and(|(_, host)| {
                    !host.is_empty() && host.as_bytes() == self.authority().as_bytes()
                })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme.unwrap_or(Scheme::Http)
    }

    pub fn authority(&self) -> &str {
        let start = self.scheme().as_str().len() + "://".len();
        self.text.get(start..self.path).unwrap_or_default()
    }

    pub fn path_and_query(&self) -> &str {
        self.text.get(self.path..).unwrap_or("/")
    }

    /// `scheme://authority`.
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    pub fn to_uri(&self) -> TargetUri {
        TargetUri {
            scheme: self.scheme(),
            authority: self.authority().into(),
            path_and_query: self.path_and_query().into(),
        }
    }
}

/// A request that is refused, and why.
#[derive(Debug)]
pub struct Refused {
    pub error: Error,
    pub parts: Parts,
}

impl Inquiry {
    /// Understands a request. `before` is the target of another, or none: its memory is used again, and what is known
    /// of it.
    ///
    /// # Errors
    /// With a downstream [`Error`] for what is malformed, or has passed through here before.
    pub fn read(
        request: Request<RequestContent>,
        peer: &Rc<Peer>,
        epoch: &Rc<Epoch>,
        now: Now,
        before: Target,
    ) -> Result<Self, Box<Refused>> {
        let (parts, content) = request.into_parts();
        let mut facts = Facts::of(&parts.headers);
        if !content.is_end_stream() {
            facts.0 |= Facts::CONTENT.0;
        }
        // After the switch there is no place for the rest of a request, and in HTTP/2 there is no switch.
        if facts.any(Facts::UPGRADE)
            && (facts.any(Facts::CONTENT)
                || epoch.settings.config.upstream.protocol != Protocol::Http1
                || upgrade::offered(parts.version, &parts.headers).is_none())
        {
            facts.0 &= !Facts::UPGRADE.0;
        }
        let class = Class::of(&parts.method);
        let target = match read_head(&parts, facts, peer, epoch, before) {
            Ok(target) => target,
            Err(error) => return Err(Box::new(Refused { error, parts })),
        };
        let route = epoch
            .settings
            .config
            .route(split_query(target.path_and_query()).0)
            .clone();
        let policy = &route.cache;
        let directives = if facts.any(Facts::DIRECTIVES) {
            RequestDirectives::parse(&parts.headers).honoured(&policy.honour)
        } else {
            RequestDirectives::default()
        };
        let credentials = if facts.any(Facts::CREDENTIALS) || !policy.credential_fields.is_empty() {
            Credentials::of(&parts.headers, policy)
        } else {
            Credentials::default()
        };
        Ok(Self {
            peer: peer.clone(),
            epoch: epoch.clone(),
            route,
            parts,
            content: Some(content),
            class,
            facts,
            directives,
            credentials,
            target,
            canonical: None,
            digest: None,
            began: now,
            now,
            hints: None,
            waiting: None,
            until: None,
            quotas: None,
        })
    }

    pub fn key<'a>(&'a self, store: &Store) -> KeyRef<'a> {
        store.key(self.canonical.as_deref().unwrap_or(self.target.as_str()))
    }

    /// Finds out under which target it is stored, which other responses may change at any time.
    pub fn canonicalise(&mut self, store: &Store) {
        self.canonical = match store.canonical(self.target.as_str()) {
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
        nominated.retain(|name| !self.route.cache.credential_fields.contains(name));
        if nominated.is_empty() {
            return;
        }
        let resource = store.look_up(self.key(store));
        let stored = resource.iter().flat_map(Resource::variants);
        let variants = stored.filter_map(|stored| stored.head.variant());
        for name in nominated {
            if !variants.clone().any(|variant| variant.has(&name)) {
                self.parts.headers.remove(&name);
            }
        }
    }

    /// What a fill for it would ask, as far as others compare with that.
    pub fn ask(&self) -> Ask {
        Ask {
            headers: self.headers().clone(),
            digest: self.digest,
        }
    }

    /// A GET of the same target by the same client, without conditions and content.
    pub fn for_get(&self) -> Self {
        let mut parts = self.parts.clone();
        parts.method = Method::GET;
        strip_conditionals(&mut parts.headers);
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE] {
            parts.headers.remove(name);
        }
        Self {
            class: Class::Get,
            credentials: self.credentials,
            digest: None,
            ..self.with(parts)
        }
    }

    /// A request of the gateway's own that refreshes what this one was given: a GET, or the same QUERY, without what is
    /// this client's own wish, and without its credentials unless the stored response was fetched with some.
    pub fn for_refresh(&self, credentialed: bool) -> Self {
        let mut parts = self.parts.clone();
        if self.class != Class::Query {
            parts.method = Method::GET;
        }
        strip_conditionals(&mut parts.headers);
        let policy = &self.route.cache;
        let credentials = [AUTHORIZATION, COOKIE];
        let listed = policy.credential_fields.iter();
        let credentials = credentials.iter().chain(listed);
        for name in [CACHE_CONTROL, PRAGMA]
            .iter()
            .chain(credentials.filter(|_| !credentialed))
        {
            parts.headers.remove(name);
        }
        Self {
            class: Class::of(&parts.method),
            credentials: Credentials::of(&parts.headers, policy),
            digest: self.digest,
            ..self.with(parts)
        }
    }

    /// Another request of the same client for the same target.
    fn with(&self, parts: Parts) -> Self {
        Self {
            peer: self.peer.clone(),
            epoch: self.epoch.clone(),
            route: self.route.clone(),
            facts: Facts::of(&parts.headers),
            class: self.class,
            parts,
            content: None,
            directives: RequestDirectives::default(),
            credentials: self.credentials,
            target: self.target.clone(),
            canonical: self.canonical.clone(),
            digest: self.digest,
            began: self.began,
            now: self.now,
            hints: None,
            waiting: None,
            until: None,
            quotas: None,
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Path and query in the client's own octets, which are what goes upstream.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        path_and_query(&self.parts.method, &self.parts.uri)
            .unwrap_or_else(|_| Cow::Borrowed(self.target.path_and_query()))
    }

    /// How long the exchange may last.
    pub fn time_limit(&self) -> Option<Duration> {
        let server = &self.epoch.settings.config.server;
        self.route
            .exchange_timeout
            .unwrap_or(server.exchange_timeout)
    }

    /// Has content that comes in more than one piece end when the exchange's time is over.
    pub fn bound(&self, response: &mut Response<Body>) {
        if !response.body().is_long() {
            return;
        }
        let until = self
            .until
            .or_else(|| Some(timer_now() + self.time_limit()?));
        let on_purpose = self.route.exchange_timeout.is_some();
        if let Some(until) = until
            && (on_purpose || !is_endless(response.headers()))
        {
            response.body_mut().end_by(until);
        }
    }

    /// Whether the cache is not asked at all: the route says so, or the request has content that a GET's has no
    /// meaning for (RFC 9110 §9.3.1), or wants another protocol.
    pub fn is_bypassed(&self) -> bool {
        let content = self.class != Class::Query && self.facts.any(Facts::CONTENT);
        self.route.bypass || content || self.facts.any(Facts::UPGRADE)
    }
}

/// What a request is for, if it is one that may be answered.
fn read_head(
    parts: &Parts,
    facts: Facts,
    peer: &Peer,
    epoch: &Epoch,
    before: Target,
) -> Result<Target, Error> {
    refuse_loops(&parts.headers, facts, epoch)?;
    if facts.any(Facts::THIS_HOP) {
        refuse_codings(&parts.headers)?;
    }
    read_target(parts, facts, peer, before)
}

/// RFC 8586: a request that carries our own member has been here before.
fn refuse_loops(headers: &HeaderMap, facts: Facts, epoch: &Epoch) -> Result<(), Error> {
    if !facts.any(Facts::CDN_LOOP) {
        return Ok(());
    }
    let own = epoch.settings.identity.cdn_loop.as_bytes();
    let members = headers
        .get_all(CDN_LOOP)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if members.map(<[u8]>::trim_ascii).any(|member| member == own) {
        return Err(Error::downstream(ErrorKind::LoopDetected));
    }
    Ok(())
}

/// RFC 9112 §6.1: content in a coding that we do not undo is not for us to pass on as if it were plain: 501. Chunked
/// more than once is malformed.
fn refuse_codings(headers: &HeaderMap) -> Result<(), Error> {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let codings = members(headers, &TRANSFER_ENCODING);
    let (chunked, others): (Vec<_>, Vec<_>) =
        codings.partition(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let malformed = Error::downstream(ErrorKind::BadRequest);
    match (chunked.len(), others.len()) {
        (1, 0) => Ok(()),
        (1, _) => Err(malformed
            .answered(StatusCode::NOT_IMPLEMENTED)
            .detail("no transfer coding but chunked is understood")),
        _ => Err(malformed.detail("Transfer-Encoding is not chunked once")),
    }
}

fn read_target(parts: &Parts, facts: Facts, peer: &Peer, before: Target) -> Result<Target, Error> {
    let bad =
        |reason: BadTarget| Error::downstream(ErrorKind::BadRequest).detail(reason.to_string());
    if parts.method == Method::CONNECT {
        return Err(Error::downstream(ErrorKind::MethodNotAllowed));
    }
    let scheme = effective_scheme(&parts.headers, facts, peer);
    let host = forwarded_host(&parts.headers, facts, peer);
    if host.is_none() && before.shares_origin(parts, scheme) {
        let path_and_query = path_and_query(&parts.method, &parts.uri).map_err(bad)?;
        return Ok(before.with(&path_and_query));
    }
    let view = TargetView::from_request(
        &parts.method,
        &parts.uri,
        &parts.headers,
        scheme,
        parts.version,
    );
    let mut view = view.map_err(bad)?;
    let Some(host) = host else {
        return Ok(Target::write(&view, before));
    };
    // What a trusted proxy calls the host is read as a Host would be.
    let stand_in = HeaderMap::from_iter([(HOST, host.clone())]);
    let path = Uri::from_static("/");
    let named = TargetView::from_request(&Method::GET, &path, &stand_in, scheme, Version::HTTP_11);
    view.authority = named.map_err(bad)?.authority;
    Ok(Target::write(&view, before))
}

/// The scheme that the client used: as a trusted proxy says, else as the connection has it.
fn effective_scheme(headers: &HeaderMap, facts: Facts, peer: &Peer) -> Scheme {
    if !peer.trusted || !facts.any(Facts::FORWARDED) {
        return peer.scheme;
    }
    match headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
        Some(proto) if proto.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(proto) if proto.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ => peer.scheme,
    }
}

/// The authority that the client used, as a trusted proxy says.
fn forwarded_host<'a>(
    headers: &'a HeaderMap,
    facts: Facts,
    peer: &Peer,
) -> Option<&'a HeaderValue> {
    if !peer.trusted || !facts.any(Facts::FORWARDED) {
        return None;
    }
    headers.get(X_FORWARDED_HOST)
}

/// The path, and the query if there is one.
pub fn split_query(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::hop_by_hop::HOP_BY_HOP;

    #[test]
    fn whatever_is_for_this_hop_is_noticed() {
        let framing = [CONTENT_LENGTH, http::header::EXPECT];
        for name in HOP_BY_HOP.iter().chain(&framing) {
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("x"))]);
            assert!(Facts::of(&headers).any(Facts::THIS_HOP), "{name}");
        }
        let plain = HeaderMap::from_iter([(HOST, HeaderValue::from_static("a"))]);
        assert!(!Facts::of(&plain).any(Facts::THIS_HOP));
    }

    fn read(request: &Parts, scheme: Scheme, before: Target) -> Result<Target, BadTarget> {
        let view = TargetView::from_request(
            &request.method,
            &request.uri,
            &request.headers,
            scheme,
            request.version,
        );
        view.map(|view| Target::write(&view, before))
    }

    #[test]
    fn a_target_after_another_of_its_origin_is_what_it_is_by_itself() {
        let requests = [
            ("/books/1", "api.example"),
            ("/books?page=2", "api.example"),
            ("/", "API.example"),
            ("/books", "api.example:80"),
            ("/books", "api.example:8080"),
            ("/books", "api.example:443"),
            ("http://api.example/books", "api.example"),
            ("http://api.example?page=2", "other.example"),
            ("*", "api.example"),
            ("/books", ""),
            ("/books", "[::1]:8080"),
            ("/books", "a b"),
        ];
        let parts = |(target, host): (&str, &str), version| {
            let request = Request::builder().uri(target).version(version);
            let (parts, ()) = request.header(HOST, host).body(()).unwrap().into_parts();
            parts
        };
        let mut shared = 0;
        for first in requests {
            for second in requests {
                for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                    for schemes in [
                        (Scheme::Http, Scheme::Http),
                        (Scheme::Http, Scheme::Https),
                        (Scheme::Https, Scheme::Https),
                    ] {
                        let first = parts(first, Version::HTTP_11);
                        let second = parts(second, version);
                        let Ok(before) = read(&first, schemes.0, Target::default()) else {
                            continue;
                        };
                        if !before.shares_origin(&second, schemes.1) {
                            continue;
                        }
                        shared += 1;
                        let alone = read(&second, schemes.1, Target::default());
                        let path = path_and_query(&second.method, &second.uri);
                        assert_eq!(
                            path.map(|path| before.with(&path).text),
                            alone.map(|target| target.text),
                            "{second:?}"
                        );
                    }
                }
            }
        }
        assert!(shared > 30, "{shared} only");
    }

    #[test]
    fn nothing_shares_an_origin_that_names_two_hosts_or_none() {
        let request = |hosts: &[&'static str]| {
            let (mut parts, ()) = Request::new(()).into_parts();
            for host in hosts {
                parts.headers.append(HOST, HeaderValue::from_static(host));
            }
            parts
        };
        let one = request(&["a.example"]);
        let before = read(&one, Scheme::Http, Target::default()).unwrap();
        assert!(before.shares_origin(&one, Scheme::Http));
        for hosts in [
            &["a.example", "a.example"][..],
            &["a.example", "b.example"],
            &[],
        ] {
            assert!(
                !before.shares_origin(&request(hosts), Scheme::Http),
                "{hosts:?}"
            );
        }
        assert!(!Target::default().shares_origin(&request(&[""]), Scheme::Http));
    }
}
