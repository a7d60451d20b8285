//! What a gate says, and would do with a request, for the operator.

use http::StatusCode;
use serde_json::{Value, json};

use super::auth::{self, Checked};
use super::verifier::Verifier;
use super::{gated_routes, preflight};
use crate::config::Gate;
use crate::proxy::request::{Request, Traits};
use crate::proxy::response::gate_fields::Cors;
use crate::semantics::access::is_admitted;
use crate::semantics::cors_policy::preflight_method;

/// Its networks, whom it asks for and its answer, as they are configured.
pub(in crate::proxy) fn describe(gate: &Gate) -> Value {
    let nets = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect::<Vec<_>>();
    let respond = gate.respond.as_ref().map(|respond| {
        json!({
            "status": respond.status.as_u16(),
            "location": respond.location.as_ref().map(|location| location.as_written()),
            "retry_after": respond.retry_after.map(|time| time.as_secs()),
        })
    });
    let auth = gate.auth.as_ref().map(|auth| {
        json!({
            "basic_file": auth.users.as_ref().map(|users| users.file.display().to_string()),
            "bearer": !auth.tokens.is_empty(),
            "forward": auth.forward,
        })
    });
    let cors = gate.cors.as_ref().map(|cors| {
        let origins = cors.origins.as_ref();
        let origins = origins.map(|origins| origins.iter().map(ToString::to_string).collect());
        json!({
            "origins": origins.unwrap_or_else(|| vec!["*".to_owned()]),
            "credentials": cors.credentials,
        })
    });
    json!({
        "allow": nets(&gate.allow),
        "deny": nets(&gate.deny),
        "auth": auth,
        "cors": cors,
        "respond": respond,
    })
}

/// What a gate would do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Foreseen {
    /// It goes on; `by_address`: where the client's address, which nobody says, is let in.
    Passed {
        by_address: bool,
    },
    /// It goes on if its password proves right.
    Unverified,
    Refused,
    Unauthorized,
    Preflight,
    Responded(StatusCode),
}

impl Foreseen {
    /// Whether the request gets to the cache.
    pub fn goes_on(self) -> bool {
        matches!(self, Self::Passed { .. } | Self::Unverified)
    }
}

/// Has `request`, which nobody has sent, meet the gate of its route: what is changed of those that go on is changed of it.
pub(in crate::proxy) fn foresee(request: &mut Request, verifier: &Verifier) -> Foreseen {
    if request.route.gate.is_none() {
        return Foreseen::Passed { by_address: false };
    }
    let routes = gated_routes(request);
    let gates = || routes.iter().filter_map(|route| route.gate.as_deref());
    let client = request.address();
    let by_address =
        client.is_none() && gates().any(|gate| !(gate.allow.is_empty() && gate.deny.is_empty()));
    if client.is_some() && !gates().all(|gate| is_admitted(&gate.allow, &gate.deny, client)) {
        return Foreseen::Refused;
    }
    let cors = preflight::cors(&routes, request);
    let has_policy = matches!(cors, Some(Cors::ByPolicy { .. }));
    if cors.is_some() && preflight_method(request.method(), request.received()).is_some() {
        return Foreseen::Preflight;
    }
    if let Some(respond) = gates().find_map(|gate| gate.respond.as_ref()) {
        return Foreseen::Responded(respond.status);
    }
    if has_policy && request.class.is_looked_up() && !request.traits.any(Traits::UPGRADE) {
        request.drop_origin();
    }
    match auth::check(request, &routes, verifier) {
        Checked::Unasked => Foreseen::Passed { by_address },
        Checked::Right(right) => {
            right.let_in(request);
            Foreseen::Passed { by_address }
        }
        Checked::Wrong(_) => Foreseen::Unauthorized,
        Checked::Unverified(check) => {
            check.let_in_if_right(request);
            Foreseen::Unverified
        }
    }
}
