//! PURGE on the listeners of clients, for plugins that purge a Varnish so: of the URL that it names, or of the tags in its fields.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::error::{Error, ErrorKind};
use crate::ledger::invalidation::{Applied, Invalidation, Matcher, Strength};
use crate::proxy::fleet::{Acknowledgement, Invalidated, NOT_DURABLE, PENDING};
use crate::proxy::receipts::BOOKEND_RECEIPT;
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::worker::Worker;
use crate::semantics::access::is_admitted;
use crate::semantics::authority::Scheme;
use crate::semantics::cache_status::Detail;
use crate::semantics::selector::Selector;
use crate::semantics::tags;

/// Fields in which tags are named that are to be purged, beside those that the route reads tags from.
const TAG_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("surrogate-key"),
    HeaderName::from_static("cache-tag"),
    HeaderName::from_static("xkey"),
    HeaderName::from_static("xkey-purge"),
    XKEY_SOFT_PURGE,
];
const XKEY_SOFT_PURGE: HeaderName = HeaderName::from_static("xkey-softpurge");
const FASTLY_SOFT_PURGE: HeaderName = HeaderName::from_static("fastly-soft-purge");

/// How WordPress' "Proxy Cache Purge" says that the path is a pattern.
const X_PURGE_METHOD: HeaderName = HeaderName::from_static("x-purge-method");

/// Magento's pattern of tags.
const X_MAGENTO_TAGS_PATTERN: HeaderName = HeaderName::from_static("x-magento-tags-pattern");

/// What becomes of a PURGE.
pub(super) enum Purged {
    Refused(Response<Body>),
    /// It was carried out here.
    Carried {
        invalidated: Invalidated,
        strength: Strength,
    },
}

impl Worker {
    /// The answer to PURGE, where the gateway takes it from some clients; `None` for other methods, and where it goes on to the
    /// API as they do.
    pub(super) fn answer_purge(&self, request: &Request) -> Option<Purged> {
        let networks = &request.epoch.settings.config.server.purge_from;
        if networks.is_empty() || request.method().as_str() != "PURGE" {
            return None;
        }
        let refused = |error: Error| {
            let refusal = self.turn_away(request, &error, Detail::Other("refused"));
            Some(Purged::Refused(refusal))
        };
        let client = request.address();
        let Some(client) = client.filter(|client| is_admitted(networks, &[], Some(*client))) else {
            return refused(
                Error::downstream(ErrorKind::AddressDenied)
                    .detail("the client's address is not in purge_from of [server]"),
            );
        };
        let purge = match asked_for(request) {
            Ok(purge) => purge,
            Err(why) => {
                return refused(Error::downstream(ErrorKind::BadRequest).detail(why));
            }
        };
        let (gateway, actor) = (&self.gateway, client.to_string());
        let invalidated = gateway.purge_logged(&purge, actor, Some("PURGE".to_owned()));
        let applied = &invalidated.applied;
        tracing::info!(
            resources = applied.resources,
            bytes = applied.bytes,
            sequence = applied.sequence,
            named = purge.covers_in_words(),
            "purged"
        );
        Some(Purged::Carried {
            invalidated,
            strength: purge.strength,
        })
    }

    /// The answer to a PURGE that has been carried out here, and has come so far in the fleet.
    pub(super) fn purged(
        &self,
        request: &Request,
        (applied, strength): (Applied, Strength),
        acknowledgement: &Acknowledgement,
    ) -> Response<Body> {
        let mut outcome = json!({
            "purged": applied.resources,
            "bytes": applied.bytes,
            "sequence": applied.sequence,
        });
        let (status, detail) = match acknowledgement {
            Acknowledgement::Pending(_) => {
                outcome["acknowledged"] = json!(false);
                (StatusCode::ACCEPTED, PENDING)
            }
            Acknowledgement::NotDurable(why) => {
                outcome["acknowledged"] = json!(false);
                outcome["why"] = json!(why.why());
                (StatusCode::ACCEPTED, NOT_DURABLE)
            }
            Acknowledgement::Alone | Acknowledgement::Everywhere(_) => {
                (StatusCode::OK, Detail::Other("purged"))
            }
        };
        let body = Body::full(format!("{outcome}\n").into(), &self.counters);
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let fields = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        fields.insert(CONTENT_TYPE, json);
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A soft purge gives no receipt: stale responses that are older may still be used.
        if strength == Strength::Hard {
            let receipt = self.gateway.receipt(applied.sequence, acknowledgement);
            fields.insert(BOOKEND_RECEIPT, receipt);
        }
        self.own(response, request, detail)
    }
}

/// What a PURGE asks for. Fails with what is wrong with it.
fn asked_for(request: &Request) -> Result<Invalidation, &'static str> {
    let fields = request.received();
    let covers = match tags_of(request, fields)? {
        Some(covers) => covers,
        None => urls_of(request, fields)?,
    };
    // With tags for a hard purge beside them, all are purged hard.
    let are_all_soft = |name: &HeaderName| *name == XKEY_SOFT_PURGE || !fields.contains_key(name);
    let is_soft = fields.contains_key(XKEY_SOFT_PURGE) && TAG_FIELDS.iter().all(are_all_soft)
        || fields
            .get(FASTLY_SOFT_PURGE)
            .is_some_and(|value| value == "1");
    Ok(match is_soft {
        true => Invalidation::soft(covers),
        false => Invalidation::hard(covers),
    })
}

/// The tags that are named, on every host; `None` where no field is for tags.
fn tags_of(request: &Request, fields: &HeaderMap) -> Result<Option<Vec<Matcher>>, &'static str> {
    if fields.contains_key(X_MAGENTO_TAGS_PATTERN) {
        return Err(
            "patterns of tags are not supported: name the tags in X-Magento-Tags, and list it in tag_fields",
        );
    }
    let own = &request.route.cache.tag_fields;
    let names: Vec<_> = TAG_FIELDS.iter().chain(own).cloned().collect();
    if !names.iter().any(|name| fields.contains_key(name)) {
        return Ok(None);
    }
    let named = tags::named(fields, &names);
    let named = named.map_err(|_| "it names more than 1,000 tags, or one that is not UTF-8")?;
    if named.is_empty() {
        return Err("a field for tags names none");
    }
    let tag = |name: Box<str>| Matcher::Tag {
        name: name.into(),
        origin: None,
    };
    Ok(Some(named.into_iter().map(tag).collect()))
}

/// What means something else in a pattern than itself.
const OPERATORS: [char; 14] = [
    '*', '+', '?', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\', '.',
];

/// The URL, of http and of https: Varnish has no schemes, and plugins purge what browsers see over a connection without TLS.
fn urls_of(request: &Request, fields: &HeaderMap) -> Result<Vec<Matcher>, &'static str> {
    let target = request.whole_target();
    let path = target.path_and_query();
    let is_pattern = fields.get(X_PURGE_METHOD).is_some_and(|how| how == "regex");
    let selector: fn(String) -> Selector = match is_pattern {
        true => Selector::TargetPrefix,
        false => Selector::Target,
    };
    let path = match (is_pattern, path.strip_suffix(".*")) {
        (false, _) => path,
        (true, Some("/")) => "",
        (true, Some(path)) if path.ends_with('/') && !path.contains(OPERATORS) => path,
        _ => return Err("of patterns, only a path that ends in /.* is supported"),
    };
    let schemes = [Scheme::Http, Scheme::Https].into_iter();
    let urls = schemes.map(|scheme| {
        let authority = target.authority();
        Matcher::Urls(selector(format!("{}://{authority}{path}", scheme.as_str())))
    });
    Ok(urls.collect())
}
