//! The gateway as its ops desk sees it: gauges, purge and explain.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{json as document, problem};
use super::page::{Kind, Page};
use super::{Desk, query};
use crate::cache::store::Store;
use crate::cache::stored::{Content, Marker, Resource, StoredResponse};
use crate::clock::Now;
use crate::proxy::Gateway;
use crate::telemetry::counters::Metrics;
use crate::telemetry::readiness::{Readiness, Stage};

/// Answers for one gateway.
#[derive(Debug)]
pub struct GatewayDesk {
    gateway: Arc<Gateway>,
    readiness: Readiness,
}

/// Targets that one explanation lists at most.
const MAX_EXPLAINED: usize = 100;

const PURGE_USAGE: &str = "say what: POST /purge?url=/books/123, ?url=http://host/books/123, ?prefix=/books, \
     ?group=NAME or ?all=true; or the same as a JSON object";

impl GatewayDesk {
    pub fn new(gateway: Arc<Gateway>, readiness: Readiness) -> Self {
        Self { gateway, readiness }
    }

    fn store(&self) -> &Store {
        self.gateway.store()
    }

    /// How many resources were removed; `None` when `what` is not known.
    fn purged(&self, what: &str, value: &str) -> Option<usize> {
        let store = self.store();
        Some(match what {
            "all" if value == "true" => store.invalidate_prefix(""),
            "url" if value.starts_with('/') => store.invalidate_where(|key| path_of(key) == value),
            "url" => usize::from(store.invalidate_target(value)),
            "prefix" if value.starts_with('/') => {
                store.invalidate_where(|key| path_of(key).starts_with(value))
            }
            "prefix" if !value.is_empty() => store.invalidate_prefix(value),
            "group" => store.invalidate_group_everywhere(value),
            _ => return None,
        })
    }

    fn explanation(&self, url: &str) -> Value {
        let store = self.store();
        let now = self.gateway.clock().now();
        let resources: Vec<Arc<Resource>> = if url.starts_with('/') {
            store.find(|key| path_of(key) == url, MAX_EXPLAINED)
        } else {
            store
                .look_up(store.key(&store.canonical(url)))
                .into_iter()
                .collect()
        };
        let settings = self.gateway.settings();
        let path = path_of(url);
        let route = settings
            .config
            .route(path.split(['?', '#']).next().unwrap_or_default());
        let pattern = if route.pattern.is_empty() {
            "(default)"
        } else {
            route.pattern.as_str()
        };
        json!({
            "url": url,
            "route": pattern,
            "bypass": route.bypass,
            "stored": resources.iter().map(|resource| describe(resource, now)).collect::<Vec<_>>(),
            "fills": store.fills_for(|key| key == url || path_of(key) == url),
        })
    }
}

impl Desk for GatewayDesk {
    fn stage(&self) -> Stage {
        self.readiness.stage()
    }

    fn metrics(&self) -> &Metrics {
        self.gateway.metrics()
    }

    fn gauges(&self, page: &mut Page) {
        let store = self.store();
        store.run_pending_tasks();
        let budget = store.budget();
        page.single(
            "bookend_stored_resources",
            Kind::Gauge,
            "Target URIs with something stored.",
            store.resource_count(),
        );
        page.single(
            "bookend_stored_bytes",
            Kind::Gauge,
            "Bytes of what is stored, heads and keys included.",
            store.resource_bytes(),
        );
        page.single(
            "bookend_memory_used_bytes",
            Kind::Gauge,
            "Bytes held of the budget: stored, evicted but still read, and in flight.",
            budget.used(),
        );
        page.single(
            "bookend_memory_limit_bytes",
            Kind::Gauge,
            "The byte budget.",
            budget.limit(),
        );
    }

    fn purge(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let wishes = match wishes(request) {
            Ok(wishes) if !wishes.is_empty() => wishes,
            Ok(_) => return problem(StatusCode::BAD_REQUEST, PURGE_USAGE),
            Err(why) => return problem(StatusCode::BAD_REQUEST, &why),
        };
        let mut purged = 0;
        for (what, value) in &wishes {
            match self.purged(what, value) {
                Some(count) => purged += count,
                None => {
                    return problem(
                        StatusCode::BAD_REQUEST,
                        &format!("cannot purge by {what}={value}; {PURGE_USAGE}"),
                    );
                }
            }
        }
        tracing::info!(purged, ?wishes, "purged");
        document(StatusCode::OK, &json!({ "purged": purged }))
    }

    fn explain(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let url =
            query::pairs(request.uri().query().unwrap_or_default()).find(|(name, _)| name == "url");
        match url {
            Some((_, url)) if !url.is_empty() => document(StatusCode::OK, &self.explanation(&url)),
            _ => problem(
                StatusCode::BAD_REQUEST,
                "say which: GET /explain?url=/books/123 or ?url=http://host/books/123",
            ),
        }
    }
}

/// What is to be purged, from the query or from a JSON object of strings.
fn wishes(request: &Request<Bytes>) -> Result<Vec<(String, String)>, String> {
    let mut wishes: Vec<_> = query::pairs(request.uri().query().unwrap_or_default()).collect();
    if request.body().is_empty() {
        return Ok(wishes);
    }
    let content: serde_json::Map<String, Value> = serde_json::from_slice(request.body())
        .map_err(|error| format!("the content is no JSON object: {error}"))?;
    for (what, value) in content {
        match value {
            Value::String(value) => wishes.push((what, value)),
            Value::Bool(value) => wishes.push((what, value.to_string())),
            Value::Array(values) => {
                for value in values {
                    let value = value
                        .as_str()
                        .ok_or_else(|| format!("{what} has a member that is no string"))?;
                    wishes.push((what.clone(), value.to_owned()));
                }
            }
            _ => return Err(format!("{what} is neither a string nor a list of strings")),
        }
    }
    Ok(wishes)
}

/// Path and query of a target URI.
fn path_of(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn describe(resource: &Resource, now: Now) -> Value {
    json!({
        "key": resource.key.as_str(),
        "bytes": resource.weight(),
        "variants": resource.variants.iter().map(|stored| describe_variant(stored, now)).collect::<Vec<_>>(),
        "markers": resource.markers.iter().map(|marker| describe_marker(marker, now)).collect::<Vec<_>>(),
    })
}

fn describe_variant(stored: &StoredResponse, now: Now) -> Value {
    let head = &stored.head;
    let resident = head.resident(now);
    let fields: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    json!({
        "status": head.status.as_u16(),
        "fresh": head.freshness.is_fresh(resident),
        "age": head.freshness.age(resident).as_secs(),
        "ttl": head.freshness.ttl(resident),
        "lifetime": head.freshness.lifetime.as_secs(),
        "lifetime_from": format!("{:?}", head.freshness.source),
        "must_validate": head.freshness.must_validate.map(|why| format!("{why:?}")),
        "selected_by": head.variant.describe().into_iter().collect::<Vec<_>>(),
        "groups": head.groups,
        "query": head.digest.is_some(),
        "content_bytes": stored.content.len(),
        "complete": matches!(stored.content, Content::Complete(_)),
        "fields": fields,
    })
}

fn describe_marker(marker: &Marker, now: Now) -> Value {
    json!({
        "why": format!("{:?}", marker.why),
        "for_seconds": marker.until.since(now.mono).as_secs(),
        "selected_by": marker.variant.describe().into_iter().collect::<Vec<_>>(),
    })
}
