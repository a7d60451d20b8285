//! The list of what is stored, for the operator.

use std::cmp::Reverse;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::cache::key::Key;
use crate::cache::resource::Resource;
use crate::clock::Now;
use crate::config::{Asked, RoutePolicy};
use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::request::shown_key;
use crate::semantics::authority::host_of;
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, path_and_query, split_query, target_of};
use crate::telemetry::top::merged;

/// Resources that one page looks at: a store of millions is listed in several.
const MAX_WALKED: usize = 100_000;

/// Resources of one page, and URLs of one list of the most frequent.
pub const MAX_LISTED: usize = 1_000;

/// By what a list is in order, the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Hits,
    Size,
    Age,
}

/// Which stored resources are listed.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub prefix: Option<Selector>,
    /// The `match` or the name of a route, `(default)` for what no route takes.
    pub route: Option<String>,
    pub tag: Option<String>,
    /// `None`: as they come.
    pub order: Option<Order>,
    pub limit: usize,
    /// Resources that the pages before have looked at.
    pub from: usize,
}

/// By what the most frequent URLs are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    Requests,
    Misses,
    Bytes,
}

impl Gateway {
    /// A page of what is stored. Nothing is locked meanwhile, and no response counts as used by it. What comes or leaves
    /// between two pages may be missing, or be there twice.
    pub fn stored(&self, listing: &Listing) -> Value {
        let (now, settings) = (self.clock.now(), self.settings());
        let (mut walked, mut is_whole) = (0, true);
        let mut found: Vec<(u64, Arc<Key>, Resource)> = Vec::new();
        for (key, resource) in self.store.each().skip(listing.from) {
            let is_full = listing.order.is_none() && found.len() >= listing.limit;
            if walked >= MAX_WALKED || is_full {
                is_whole = false;
                break;
            }
            walked += 1;
            if resource.variants().is_empty() || !is_listed(listing, &settings, &key, &resource) {
                continue;
            }
            let rank = listing
                .order
                .map_or(0, |order| rank(order, &key, &resource, now));
            found.push((rank, key, resource));
            if listing.order.is_some() && found.len() >= 2 * MAX_LISTED + listing.limit {
                keep_greatest(&mut found, listing.limit);
            }
        }
        if listing.order.is_some() {
            keep_greatest(&mut found, listing.limit);
        }
        let rows = found.iter();
        let rows: Vec<_> = rows
            .map(|(_, key, resource)| row(&settings, key, resource, now))
            .collect();
        json!({
            "stored": rows,
            "walked": walked,
            "next": (!is_whole).then(|| (listing.from + walked).to_string()),
        })
    }

    /// The most frequent URLs, about.
    pub fn top(&self, by: Top, most: usize) -> Value {
        let workers = self.metrics.workers.iter();
        let sketches = workers.map(|counters| match by {
            Top::Requests => &counters.top.requests,
            Top::Misses => &counters.top.misses,
            Top::Bytes => &counters.top.bytes,
        });
        let urls = merged(sketches, most.min(MAX_LISTED)).into_iter();
        let urls: Vec<_> = urls
            .map(|entry| {
                let why = entry.why();
                json!({
                    "url": entry.url,
                    "sum": entry.sum,
                    "error": entry.error,
                    "reason": why.map(|why| why.token),
                    "sentence": why.map(|why| why.sentence),
                    "cure": why.map(|why| why.cure),
                })
            })
            .collect();
        json!({ "urls": urls })
    }
}

fn keep_greatest(found: &mut Vec<(u64, Arc<Key>, Resource)>, most: usize) {
    found.sort_by_key(|(rank, _, _)| Reverse(*rank));
    found.truncate(most);
}

fn rank(order: Order, key: &Key, resource: &Resource, now: Now) -> u64 {
    match order {
        Order::Hits => hits(resource),
        Order::Size => resource.weight(key.as_str().len()),
        Order::Age => age(resource, now),
    }
}

fn hits(resource: &Resource) -> u64 {
    let variants = resource.variants().iter();
    variants.map(|stored| u64::from(stored.hits())).sum()
}

/// Of the oldest variant.
fn age(resource: &Resource, now: Now) -> u64 {
    let variants = resource.variants().iter();
    let ages = variants.map(|stored| {
        let head = &stored.head;
        head.freshness.age(head.resident(now)).as_secs().into()
    });
    ages.max().unwrap_or_default()
}

fn is_listed(listing: &Listing, settings: &Settings, key: &Key, resource: &Resource) -> bool {
    let target = target_of(key.as_str());
    let Listing {
        prefix, route, tag, ..
    } = listing;
    let is_of_route = |named: &String| {
        let route = route_of(settings, target);
        route.pattern == *named || name(route) == named
    };
    prefix.as_ref().is_none_or(|prefix| prefix.covers(target))
        && tag
            .as_ref()
            .is_none_or(|tag| resource.groups().any(|group| group == tag))
        && route.as_ref().is_none_or(is_of_route)
}

fn route_of<'s>(settings: &'s Settings, target: &str) -> &'s RoutePolicy {
    let authority = origin_of(target).split_once("://").unwrap_or_default().1;
    settings.config.routes.find(Asked {
        host: host_of(authority),
        method: &Method::GET,
        path: split_query(path_and_query(target)).0,
    })
}

fn name(route: &RoutePolicy) -> &str {
    match route.name.as_str() {
        "" => "(default)",
        name => name,
    }
}

fn row(settings: &Settings, key: &Key, resource: &Resource, now: Now) -> Value {
    let first = resource.variants().first().map(|stored| &stored.head);
    let resident = first.map(|head| head.resident(now)).unwrap_or_default();
    let mut tags: Vec<&str> = resource.groups().collect();
    tags.sort_unstable();
    tags.dedup();
    json!({
        "url": shown_key(key.as_str()),
        "route": name(route_of(settings, target_of(key.as_str()))),
        "status": first.map(|head| head.status.as_u16()),
        "bytes": resource.weight(key.as_str().len()),
        "hits": hits(resource),
        "age": age(resource, now),
        "ttl": first.map(|head| head.freshness.ttl(resident)),
        "variants": resource.variants().len(),
        "tags": tags,
    })
}
