//! What a route does to its requests before anything is selected by their fields: fields that change on their way to the API,
//! and fields and cookies that are part of the key.
//!
//! What counts is what the API gets. A stored response is selected, and its sharing judged, by the fields as they go on: a
//! field that is removed is no credential and selects no variant, one that is set has the operator's value for all.

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use smallvec::SmallVec;

use super::field_names::X_REQUEST_ID;
use super::{Request, Traits};
use crate::config::{RoutePolicy, readings};
use crate::semantics::field_edits::{FieldEdits, Values};
use crate::semantics::key_rule::normalise_cookies;
use crate::semantics::storability::Credentials;
use crate::semantics::target::{key_with, split_key, split_query};

/// Octets of a request id that is taken over.
const MAX_ID: usize = 128;

/// The lines that all of these routes put in.
fn in_common(routes: &[Arc<RoutePolicy>]) -> FieldEdits {
    let mut edits = (routes.iter()).map(|route| Some(&route.requests.as_ref()?.fields));
    let mut common = FieldEdits::default();
    if let Some(Some(first)) = edits.next() {
        common.set = first.set.clone();
        common.add = first.add.clone();
    }
    for other in edits {
        let (set, add) = other.map_or((&[][..], &[][..]), |other| (&other.set, &other.add));
        common.set.retain(|line| set.contains(line));
        common.add.retain(|line| add.contains(line));
    }
    common
}

impl Request {
    /// Does to its fields what its route says, and finds its key.
    pub fn follow_rules(&mut self) {
        let Some(rules) = self.route.requests.clone() else {
            return;
        };
        let readings: SmallVec<[Arc<RoutePolicy>; 2]> = match rules.of_readings {
            true => self.readings().into_iter().cloned().collect(),
            false => SmallVec::new(),
        };
        let mut fields = std::mem::take(&mut self.parts.headers);
        if rules.of_readings || !rules.fields.is_empty() {
            self.received = Some(Box::new(fields.clone()));
            rules.fields.take_out(&mut fields);
            // No spelling of a path has the API believe of the client what the gateway says on a route.
            for other in readings.iter().filter_map(|route| route.requests.as_ref()) {
                other.fields.take_out(&mut fields);
            }
            // One of the operator's may be among them.
            self.traits.add(Traits::CREDENTIALS);
        }
        if !rules.key.cookies.is_empty() && !self.route.bypass {
            normalise_cookies(&mut fields);
        }
        // Invariant 2 and RFC 9111 §3.5 are about what a client brings. What the route puts in is the same for all its clients,
        // and the cache stands before it.
        self.credentials = Credentials::of(&fields, &self.route.cache);
        if self.credentials.cookie && !rules.key.cookies.is_empty() {
            self.credentials.cookie = !rules.key.has_all_cookies(&fields);
        }
        // RFC 9110 §9.3.8: an API that answers TRACE would tell the client the operator's own credentials.
        if *self.method() != Method::TRACE {
            match rules.of_readings {
                false => rules.fields.put_in(&mut fields, self),
                true => in_common(&readings).put_in(&mut fields, self),
            }
        }
        let vary = &self.route.cache.vary;
        let values = rules.key.text(&fields, vary, &rules.fields_in_key);
        self.keyed = (!values.is_empty()).then(|| key_with(self.target.as_str(), &values));
        self.parts.headers = fields;
    }

    /// The fields that the client has sent, before the route changed any.
    pub fn received(&self) -> &HeaderMap {
        self.received.as_deref().unwrap_or(&self.parts.headers)
    }

    /// Its key, to be shown: the target, and behind a `#` what else the client's request selects by.
    pub fn shown_key(&self) -> String {
        shown_key(self.key_text())
    }

    /// Whether a field stays although Connection names it, since the route says what the API gets by that name.
    pub(super) fn keeps(&self, name: &HeaderName) -> bool {
        let rules = self.route.requests.as_deref();
        rules.is_some_and(|rules| {
            rules.key.fields.contains(name) || rules.fields.names().any(|own| own == name)
        })
    }

    /// Removes a credential's field from `fields`, except what is part of the key of all who get the response.
    pub(super) fn remove_credential(&self, name: &HeaderName, fields: &mut HeaderMap) {
        let key = self.route.requests.as_deref().map(|rules| &rules.key);
        if key.is_some_and(|key| key.fields.contains(name)) {
            return;
        }
        let own = key.filter(|_| *name == COOKIE);
        match own.and_then(|key| key.own_cookies(fields)) {
            Some(cookies) => drop(fields.insert(COOKIE, cookies)),
            None => drop(fields.remove(name)),
        }
    }

    /// The request's id: that of X-Request-Id, where a trusted proxy has sent one, or else a new one.
    fn id(&self) -> &str {
        self.id.get_or_init(|| match self.sent_id() {
            Some(id) => id.into(),
            None => new_id().into(),
        })
    }

    /// Its id, where others know it too: a trusted proxy has sent it, or the route's fields name it. None is made for this.
    pub fn known_id(&self) -> Option<&str> {
        match self.id.get() {
            Some(id) => Some(id),
            None => self.sent_id(),
        }
    }

    fn sent_id(&self) -> Option<&str> {
        let sent = self
            .is_from_proxy()
            .then(|| self.received().get(X_REQUEST_ID));
        usable_id(sent??)
    }
}

impl Values for Request {
    fn client_ip(&self) -> Cow<'_, str> {
        match self.address() {
            Some(address) => address.to_string().into(),
            None => "unknown".into(),
        }
    }

    fn request_id(&self) -> &str {
        self.id()
    }

    fn host(&self) -> &str {
        self.target.authority()
    }

    fn path(&self) -> &str {
        split_query(self.target.path_and_query()).0
    }

    fn other_readings(&self) -> SmallVec<[String; 2]> {
        let mut readings = readings(self.path());
        readings.remove(0);
        readings
    }
}

/// A key as it is shown, without the digest of what the API gets beside the client's fields, which may be secret.
pub fn shown_key(key: &str) -> String {
    let (target, values) = split_key(key);
    let shown = values.map(|values| match values.strip_prefix('~') {
        Some(rest) => rest.split_once('&').map_or("", |(_, shown)| shown),
        None => values,
    });
    match shown.filter(|shown| !shown.is_empty()) {
        Some(shown) => format!("{target}#{shown}"),
        None => target.to_owned(),
    }
}

/// An id of visible ASCII that no log nor field has to quote.
fn usable_id(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~:/+=@".contains(&octet);
    ((1..=MAX_ID).contains(&text.len()) && text.bytes().all(fits)).then_some(text)
}

/// 128 bits that are hard to guess, in hexadecimal digits.
fn new_id() -> String {
    thread_local! {
        static SEEDS: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    SEEDS.with(|(state, count)| {
        let n = count.get().wrapping_add(1);
        count.set(n);
        let half = |high: bool| state.hash_one((n, high));
        format!("{:016x}{:016x}", half(true), half(false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_where_it_can_be_written_anywhere() {
        for (sent, usable) in [
            ("4bf92f3577b34da6a3ce929d0e0e4736", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a,b", false),
            ("{id}", false),
            (&"a".repeat(MAX_ID), true),
            (&"a".repeat(MAX_ID + 1), false),
        ] {
            let value = HeaderValue::from_str(sent).expect(sent);
            assert_eq!(usable_id(&value), usable.then_some(sent), "{sent}");
        }
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let ids: std::collections::HashSet<String> = (0..1_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
