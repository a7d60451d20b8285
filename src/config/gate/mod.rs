//! `allow`, `deny`, `auth`, `cors` and `respond`: who may ask, and what the gateway answers itself.

pub mod auth;
mod cors;
pub mod location;
pub mod respond;

use std::sync::Arc;

use ipnet::IpNet;

pub use self::auth::Auth;
pub use self::location::Location;
pub use self::respond::Respond;
use super::readers::{list, network};
use super::section::Section;
use super::value::Value;
use crate::semantics::access::canonical;
use crate::semantics::cors_policy::CorsPolicy;

/// What stands between a request and the cache. `[cache]` has one for all requests, each `[[route]]` one of its own, which
/// begins with that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// The path can be read as that of several routes: the gates of all hold, and this one says nothing more.
    pub of_readings: bool,
    /// Networks of clients that are answered; empty for all.
    pub allow: Vec<IpNet>,
    /// Networks of clients that are refused, whatever `allow` says.
    pub deny: Vec<IpNet>,
    /// Who has to say who it is.
    pub auth: Option<Arc<Auth>>,
    /// CORS in the place of the API's.
    pub cors: Option<Arc<CorsPolicy>>,
    /// The answer in the place of the API's.
    pub respond: Option<Arc<Respond>>,
}

impl Gate {
    /// The gate of paths that can be read as those of several routes.
    pub(super) fn of_readings() -> Arc<Self> {
        Arc::new(Self {
            of_readings: true,
            ..Self::default()
        })
    }

    /// `before` with what `section` changes of it; `None` where nothing stands between. `pattern` is the route's `match`.
    pub(super) fn read(
        section: &mut Section<'_>,
        before: Option<&Arc<Self>>,
        pattern: &str,
    ) -> Option<Arc<Self>> {
        let mut gate = before.map_or_else(Self::default, |before| (**before).clone());
        section.set("allow", &mut gate.allow, list(client_network));
        section.set("deny", &mut gate.deny, list(client_network));
        table(section, "auth", &mut gate.auth, Auth::read);
        table(section, "cors", &mut gate.cors, cors::read);
        table(section, "respond", &mut gate.respond, |section| {
            Respond::read(section, pattern)
        });
        if let Some(place) = section.given("allow").or_else(|| section.given("deny")) {
            for allowed in &gate.allow {
                if let Some(denied) = gate.deny.iter().find(|denied| denied.contains(allowed)) {
                    let message = format!(
                        "`allow` has {allowed}, which `deny` refuses as a part of {denied}: `deny` precedes"
                    );
                    section.warning(place.clone(), message);
                }
            }
        }
        (gate != Self::default()).then(|| Arc::new(gate))
    }

    /// Whether anybody is refused by it.
    pub(super) fn refuses(&self) -> bool {
        self.asks_who() || self.respond.is_some()
    }

    /// Whether it lets some clients through and others not.
    pub(super) fn asks_who(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty() || self.auth.is_some()
    }
}

/// Takes over what `read` makes of the table `key`, where there is one; "off" is none.
fn table<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    field: &mut Option<Arc<T>>,
    read: impl FnOnce(&mut Section<'a>) -> Option<T>,
) {
    let is_given = section.given(key).is_some();
    match section.section_or_off(key, read) {
        _ if !is_given => {}
        None => *field = None,
        Some(read) => *field = read.map(Arc::new),
    }
}

/// A network in the form in which it is compared with clients' addresses.
pub(super) fn client_network(value: Value<'_>) -> Option<IpNet> {
    network(value).map(canonical)
}

/// Keys of a route that have no effect beside its `respond`.
const WITHOUT_EFFECT: [&str; 37] = [
    "auth",
    "upstream",
    "strip_prefix",
    "rewrite",
    "tiers",
    "receipts",
    "invalidate",
    "invalidates",
    "tags",
    "ttl",
    "ttl_mode",
    "statuses",
    "etag",
    "bypass",
    "max_stored_body",
    "store_close_delimited",
    "stale_while_revalidate",
    "stale_if_error",
    "stale_if_disconnected",
    "set_cookie",
    "ignore",
    "honour",
    "credential_fields",
    "targeted_fields",
    "tag_fields",
    "keep_tag_fields",
    "query",
    "heuristic",
    "vary",
    "exchange_timeout",
    "response_timeout",
    "min_body_rate",
    "max_body",
    "retries",
    "request_fields",
    "key_fields",
    "key_cookies",
];

/// Warns of keys of a route that its `respond` leaves without effect.
pub(super) fn warn_beside_respond(section: &Section<'_>) {
    if section.given("respond").is_none() || section.is_off("respond") {
        return;
    }
    for key in WITHOUT_EFFECT {
        if let Some(place) = section.given(key) {
            let message =
                format!("`{key}` has no effect beside `respond`, which answers each request");
            section.warning(place, message);
        }
    }
}

#[cfg(test)]
mod tests;
