//! Requests of the gateway's own, on behalf of a client's: a GET that a write's precondition needs, and a refresh.

use http::Method;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, PRAGMA, TRANSFER_ENCODING,
};
use http::request::Parts;

use super::{Class, Request};
use crate::cache::store::Store;
use crate::semantics::cache_control::RequestDirectives;
use crate::semantics::storability::{CLIENT_CERT, Credentials};
use crate::semantics::validation::strip_conditionals;

impl Request {
    /// A GET of the same target by the same client, without conditions and content.
    pub fn for_get(&self, store: &Store) -> Self {
        let mut parts = self.received_parts();
        parts.method = Method::GET;
        strip_conditionals(&mut parts.headers);
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONTENT_TYPE] {
            parts.headers.remove(name);
        }
        let (route, several) = self.routed(&parts.method);
        let mut request = Self {
            class: Class::Get,
            credentials: Credentials::of(&parts.headers, &route.cache),
            route,
            several,
            digest: None,
            ..self.with(parts)
        };
        request.follow_rules();
        request.canonicalise(store);
        request
    }

    /// A request of the gateway's own that refreshes what this one was given: a GET, or the same QUERY, without what is
    /// this client's own wish, and without its credentials unless the stored response was fetched with some.
    pub fn for_refresh(&self, credentialed: bool) -> Self {
        let mut parts = self.received_parts();
        if self.class != Class::Query {
            parts.method = Method::GET;
        }
        strip_conditionals(&mut parts.headers);
        let policy = &self.route.cache;
        let credentials = [AUTHORIZATION, COOKIE, CLIENT_CERT];
        let listed = policy.credential_fields.iter();
        let credentials = credentials.iter().chain(listed);
        for name in [CACHE_CONTROL, PRAGMA] {
            parts.headers.remove(name);
        }
        for name in credentials.filter(|_| !credentialed) {
            self.remove_credential(name, &mut parts.headers);
        }
        let mut request = Self {
            class: Class::of(&parts.method),
            credentials: Credentials::of(&parts.headers, policy),
            digest: self.digest,
            ..self.with(parts)
        };
        request.follow_rules();
        request
    }

    /// What the client has sent.
    fn received_parts(&self) -> Parts {
        let mut parts = self.parts.clone();
        if let Some(received) = &self.received {
            parts.headers.clone_from(received);
        }
        parts
    }

    /// Another request of the same client for the same target.
    fn with(&self, parts: Parts) -> Self {
        Self {
            peer: self.peer.clone(),
            epoch: self.epoch.clone(),
            route: self.route.clone(),
            several: self.several.clone(),
            traits: self.traits.inherited(&parts.headers),
            class: self.class,
            parts,
            content: None,
            directives: RequestDirectives::default(),
            credentials: self.credentials,
            target: self.target.clone(),
            keyed: None,
            canonical: self.canonical.clone(),
            user: self.user.clone(),
            received: None,
            id: self.id.clone(),
            digest: self.digest,
            began: self.began,
            now: self.now,
            asked_since: self.asked_since,
            waiting: None,
            recording: self.recording_of_another(),
        }
    }
}
