//! A stored response with the fields of a later message about it: a 304 (RFC 9111 §4.3.4) or the answer to a HEAD
//! (§4.3.5). What was not fit to be stored in the first place does not get into the store this way either.

use http::header::{AGE, CONTENT_RANGE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method};

use crate::cache::head::Head;
use crate::config::RoutePolicy;
use crate::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use crate::semantics::cors;
use crate::semantics::freshness::{Freshness, Receipt, take_age};
use crate::semantics::storability::{
    Credentials, NoStoreReason, Storability, StoreInput, assess, stored_fields,
};
use crate::semantics::validation;
use crate::semantics::vary::VariantKey;

/// Who asked, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a Method,
    /// As honoured.
    pub directives: RequestDirectives,
    pub credentials: Credentials,
    /// Whether the request has an Origin.
    pub has_origin: bool,
    pub route: &'a RoutePolicy,
}

/// A stored response's fields and freshness after an update.
#[derive(Debug)]
pub struct Update {
    /// For the one who asked: all of them, without Age.
    pub fields: HeaderMap,
    /// The Age that came with the update.
    pub age: Option<HeaderValue>,
    pub freshness: Freshness,
    /// Whether the updated response may stand in the store, and with which fields.
    pub storable: Result<HeaderMap, Storability>,
}

impl Update {
    /// `head` with the fields of `update`, which was received as `receipt` tells.
    pub fn of(head: &Head, update: &HeaderMap, receipt: Receipt, asked: Asked<'_>) -> Self {
        let policy = &asked.route.cache;
        let fetched_with = head.variant().and_then(VariantKey::origin);
        let mut fields = match fetched_with.is_some() && !asked.has_origin {
            // What is said to nobody's page says nothing of what the page may read that it was fetched for.
            true => validation::freshen(&head.fields.to_map(), &cors::without_fields(update)),
            false => validation::freshen(&head.fields.to_map(), update),
        };
        fields.remove(CONTENT_RANGE);
        if let Some(age) = update.get(AGE) {
            fields.insert(AGE, age.clone());
        }
        let directives = ResponseDirectives::parse(&fields, &policy.targeted_fields);
        let credentialed = asked.credentials.any();
        let freshness = Freshness::compute(
            head.status,
            &fields,
            &directives,
            receipt,
            credentialed,
            policy,
        );
        let age = take_age(&mut fields);
        let assessed = |fields: &HeaderMap| {
            let lookup = assess(&StoreInput {
                method: asked.method,
                request: asked.directives,
                credentials: asked.credentials,
                preconditioned: false,
                // It was, when it was stored.
                negotiated: true,
                answers_get: false,
                status: head.status,
                headers: fields,
                directives: &directives,
                freshness: &freshness,
                policy,
            });
            match lookup {
                Storability::Store(keep) => Ok(stored_fields(fields, &directives, keep)),
                refused @ Storability::Refuse(_) => Err(refused),
            }
        };
        let mut storable = assessed(&fields);
        if storable == Err(Storability::Refuse(NoStoreReason::SetCookie)) {
            // The cookie is for the one who asked; what is stored needs none.
            let mut without = fields.clone();
            without.remove(SET_COOKIE);
            storable = assessed(&without);
            if !update.contains_key(SET_COOKIE) {
                // Another client's, which was stored while the origin allowed it.
                fields = without;
            }
        }
        Self {
            fields,
            age,
            freshness,
            storable,
        }
    }
}

/// The fields of `arrived` that `stored` has not, because they are only for the one who asked.
pub fn withheld(arrived: &HeaderMap, stored: &HeaderMap) -> HeaderMap {
    let own = |name: &http::HeaderName| {
        !stored.contains_key(name)
            && ![
                AGE,
                http::header::CONTENT_LENGTH,
                CONTENT_RANGE,
                http::header::ETAG,
            ]
            .contains(name)
    };
    let lines = arrived.iter().filter(|(name, _)| own(name));
    let mut withheld = HeaderMap::new();
    for (name, value) in lines {
        withheld.append(name.clone(), value.clone());
    }
    withheld
}
