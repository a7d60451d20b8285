//! Requests that go over to another protocol, such as WebSocket: what is said of that to either side, and how the door
//! gets hold of the connection to the API.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{HeaderValue, UPGRADE};
use http::{HeaderMap, StatusCode, Version};

use crate::error::{Error, ErrorKind};
use crate::proxy::request::{Request, Traits};
use crate::semantics::upgrade;
use crate::upstream::Tunnel;

/// Among the extensions of a response `101 (Switching Protocols)`: what the client's connection is to be joined with,
/// once that response has been sent.
#[derive(Clone, Debug)]
pub struct Switch(Arc<Mutex<Option<Tunnel>>>);

impl Switch {
    /// To be joined with `tunnel`.
    pub fn to(tunnel: Tunnel) -> Self {
        Self(Arc::new(Mutex::new(Some(tunnel))))
    }

    /// The tunnel, the first time.
    pub fn take(&self) -> Option<Tunnel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the client is told in Upgrade about a response with these fields: what it goes over to, or what it has to
/// (426). `None` where nothing is said of it.
///
/// # Errors
/// When the upstream went over to something that nobody had offered.
pub fn for_client(
    request: &Request,
    status: StatusCode,
    fields: &HeaderMap,
) -> Result<Option<HeaderValue>, Error> {
    let offered = || upgrade::offered(request.parts.version, request.headers());
    match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            let asked = request.traits.any(Traits::UPGRADE).then(offered).flatten();
            let accepted = asked.is_some_and(|offer| upgrade::is_accepted(&offer, fields));
            if !accepted {
                return Err(Error::upstream(ErrorKind::ResponseProtocol)
                    .detail("the upstream switched to a protocol that it was not asked for"));
            }
            Ok(fields.get(UPGRADE).cloned())
        }
        // RFC 9110 §15.5.22: it MUST say which.
        StatusCode::UPGRADE_REQUIRED if request.parts.version == Version::HTTP_11 => {
            Ok(fields.get(UPGRADE).cloned())
        }
        _ => Ok(None),
    }
}
