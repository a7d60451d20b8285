//! Which APIs do CORS, as far as they were seen to, and what that means for who is answered with what.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use hashbrown::HashSet;
use http::HeaderMap;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, COOKIE, HeaderValue, ORIGIN};

use super::head::{ContentDigest, Head};
use crate::semantics::cors::{self, Asking};
use crate::semantics::policy::VaryPolicy;
use crate::semantics::target::origin_of;
use crate::semantics::vary::VariantKey;

/// Origins that are remembered; with more, all are taken for such that do. Clients choose them, by Host.
const MAX_APIS: usize = 1_000;

/// Grants that are remembered, over all APIs.
const MAX_GRANTS: usize = 256;

/// Octets of an origin that is remembered; a longer one is taken for one that does.
const MAX_LENGTH: usize = 300;

/// The origins of target URIs, `scheme://authority`, that were seen to answer with a field of CORS or to vary on Origin.
#[derive(Debug, Default)]
pub struct CorsApis {
    /// The latest grants of the APIs, newest first, for errors of our own.
    grants: Mutex<VecDeque<Grant>>,
    origins: RwLock<HashSet<Box<str>, RandomState>>,
    /// How many there are, so that nobody takes the lock for none.
    count: AtomicUsize,
}

/// The grant of one route of an API to a page.
#[derive(Debug)]
struct Grant {
    /// The API's origin, and the route's pattern.
    of: (Box<str>, Box<str>),
    /// The page's.
    page: Box<[u8]>,
    fields: HeaderMap,
}

impl Grant {
    fn is_of(&self, target: &str, route: &str, page: &[u8]) -> bool {
        *self.of.0 == *origin_of(target) && *self.of.1 == *route && *self.page == *page
    }

    fn is_for_all(&self, target: &str, route: &str) -> bool {
        self.is_of(target, route, b"*")
    }
}

impl CorsApis {
    /// Remembers what a response for `target` grants the page that asked, if it does, or that it does no more.
    pub fn note_grant(&self, target: &str, route: &str, request: &HeaderMap, response: &HeaderMap) {
        let Some(page) = request.get(ORIGIN).map(HeaderValue::as_bytes) else {
            return;
        };
        let fields = cors::grant(page, response);
        let mut grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|grant| !grant.is_of(target, route, page));
        let short = origin_of(target).len().max(page.len()) <= MAX_LENGTH;
        if let Some(fields) = fields.filter(|_| short) {
            let for_all = fields
                .get(ACCESS_CONTROL_ALLOW_ORIGIN)
                .is_some_and(|page| page == "*");
            if for_all {
                grants.retain(|grant| !grant.is_for_all(target, route));
            }
            grants.truncate(MAX_GRANTS - 1);
            grants.push_front(Grant {
                of: (origin_of(target).into(), route.into()),
                page: if for_all { b"*".as_slice() } else { page }.into(),
                fields: fields
                    .iter()
                    .filter_map(|(name, value)| {
                        Some((
                            name.clone(),
                            HeaderValue::from_bytes(value.as_bytes()).ok()?,
                        ))
                    })
                    .collect(),
            });
        }
    }

    /// The latest grant to the page that asks for `target` now.
    pub fn granted(&self, target: &str, route: &str, request: &HeaderMap) -> Option<HeaderMap> {
        let page = request.get(ORIGIN)?.as_bytes();
        let grants = self.grants.lock().unwrap_or_else(PoisonError::into_inner);
        let is_granted =
            |grant: &&Grant| grant.is_of(target, route, page) || grant.is_for_all(target, route);
        let grant = grants.iter().find(is_granted);
        grant.map(|grant| grant.fields.clone())
    }

    /// Whether a request for `target` with these fields and this content selects the response with this head (RFC 9111
    /// §4.1), and may have it for its Origin.
    pub fn selects(
        &self,
        target: &str,
        head: &Head,
        (request, digest): (&HeaderMap, Option<&ContentDigest>),
        vary: &VaryPolicy,
    ) -> bool {
        head.selected_by(request, digest, vary) && self.may_answer(target, head, request)
    }

    /// Whether a request for `target` with these fields may have the response for its Origin, where it selects it.
    pub fn may_answer(&self, target: &str, head: &Head, request: &HeaderMap) -> bool {
        let Some(origin) = request.get(ORIGIN) else {
            return true;
        };
        let variant = head.variant();
        let cors = head.fields.cors();
        let has_cookie = request.contains_key(COOKIE);
        if variant.is_some_and(|variant| variant.has(&ORIGIN)) {
            // `*` is of no use to who sends a cookie, to whom APIs say the origin itself, and Vary with that only.
            let says_all = cors.allowed == Some(b"*") && cors.credentials;
            return !says_all || !has_cookie;
        }
        let asking = Asking {
            origin: origin.as_bytes(),
            has_cookie,
        };
        let fetched_with = variant.and_then(VariantKey::origin);
        let api_does_cors = || self.has(target);
        cors::may_answer(asking, fetched_with, cors, api_does_cors)
    }

    /// Whether what comes in answer to this request takes the place of a stored response.
    pub fn is_replaced(
        &self,
        target: &str,
        old: &Head,
        (request, digest): (&HeaderMap, Option<&ContentDigest>),
        vary: &VaryPolicy,
    ) -> bool {
        old.selected_by(request, digest, vary)
            // Without CORS, requests of all origins get the same.
            && (!self.has(target) || self.may_answer(target, old, request))
    }

    /// Takes over what a response for `target` shows of its API.
    pub fn learn(&self, target: &str, response: &HeaderMap) {
        if cors::is_done_by(response) {
            self.note(target);
        }
    }

    /// Remembers that the API of `target` does CORS.
    pub fn note(&self, target: &str) {
        if self.has(target) {
            return;
        }
        let origin = origin_of(target);
        let mut origins = self.origins.write().unwrap_or_else(PoisonError::into_inner);
        if origins.len() < MAX_APIS {
            origins.insert(origin.into());
        }
        self.count.store(origins.len(), Ordering::Release);
    }

    /// Whether the API of `target` was seen to do CORS.
    pub fn has(&self, target: &str) -> bool {
        let origin = origin_of(target);
        match self.count.load(Ordering::Acquire) {
            _ if origin.len() > MAX_LENGTH => true,
            0 => false,
            MAX_APIS.. => true,
            _ => {
                let origins = self.origins.read().unwrap_or_else(PoisonError::into_inner);
                origins.contains(origin)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_that_was_seen_to_do_cors_is_known_by_its_origin() {
        let apis = CorsApis::default();
        let plain = HeaderMap::new();
        let does =
            HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))]);
        apis.learn("http://a", &plain);
        assert!(!apis.has("http://a"));
        apis.learn("http://a", &does);
        apis.learn("http://a", &plain);
        assert!(apis.has("http://a") && !apis.has("http://a:1") && !apis.has("https://a"));
    }

    #[test]
    fn with_more_than_are_remembered_all_are_taken_for_such() {
        let apis = CorsApis::default();
        let does =
            HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))]);
        for n in 0..MAX_APIS + 2 {
            apis.learn(&format!("http://{n}"), &does);
        }
        assert!(apis.has("http://unknown"));
        assert_eq!(apis.count.load(Ordering::Relaxed), MAX_APIS);
    }
}
