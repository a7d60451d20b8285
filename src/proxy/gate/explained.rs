//! What a gate says, for the operator.

use serde_json::{Value, json};

use crate::config::Gate;

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
