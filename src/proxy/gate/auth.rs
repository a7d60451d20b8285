//! The users and tokens that a route asks for.

use std::sync::Arc;

use http::Response;
use http::header::WWW_AUTHENTICATE;

use super::verifier::{Trial, Verifier};
use crate::config::{Auth, RoutePolicy};
use crate::error::{Error, ErrorKind, Side};
use crate::proxy::limit::Full;
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::worker::Worker;
use crate::semantics::authentication::Presented;
use crate::semantics::cache_status::Detail;

/// What comes of a request's credentials at one gate.
enum Verdict {
    Right,
    Wrong,
    Unverified(Trial),
}

/// The credentials of a request that are being verified, at each of its gates.
pub(in crate::proxy) struct Check {
    trials: Vec<(Arc<Auth>, Trial)>,
    right: Right,
}

/// What follows from credentials that are right.
pub(super) struct Right {
    /// The API gets them, too.
    forward: bool,
    /// Whose password it is.
    user: Option<Box<str>>,
}

/// What the gates say of a request's credentials.
pub(super) enum Checked {
    /// No gate asks for any.
    Unasked,
    Right(Right),
    Wrong(Arc<Auth>),
    Unverified(Check),
}

pub(super) fn check(
    request: &Request,
    routes: &[Arc<RoutePolicy>],
    verifier: &Verifier,
) -> Checked {
    let gates = routes.iter().filter_map(|route| route.gate.as_deref());
    let all: Vec<&Arc<Auth>> = gates.filter_map(|gate| gate.auth.as_ref()).collect();
    if all.is_empty() {
        return Checked::Unasked;
    }
    let presented = Presented::of(request.received());
    let right = Right {
        forward: all.iter().all(|auth| auth.forward),
        user: match &presented {
            Presented::Basic { user, .. } => Some(String::from_utf8_lossy(user).into()),
            _ => None,
        },
    };
    let mut trials = Vec::new();
    for auth in all {
        match judge(auth, &presented, verifier) {
            Verdict::Right => {}
            Verdict::Wrong => return Checked::Wrong(auth.clone()),
            Verdict::Unverified(trial) => trials.push((auth.clone(), trial)),
        }
    }
    match trials.is_empty() {
        true => Checked::Right(right),
        false => Checked::Unverified(Check { trials, right }),
    }
}

fn judge(auth: &Auth, presented: &Presented, verifier: &Verifier) -> Verdict {
    let (user, password) = match presented {
        Presented::Bearer(token) if auth.tokens.has(token) => return Verdict::Right,
        Presented::Basic { user, password } => (user, password),
        _ => return Verdict::Wrong,
    };
    let Some(users) = &auth.users else {
        return Verdict::Wrong;
    };
    let hash = users.hash(user);
    let trial = Trial {
        hash: hash.unwrap_or(&users.decoy).clone(),
        password: password.clone(),
        is_of_user: hash.is_some(),
    };
    match verifier.knows(&trial) {
        true => Verdict::Right,
        false => Verdict::Unverified(trial),
    }
}

impl Check {
    /// Has the request go on as one does whose password proves right.
    pub(super) fn let_in_if_right(self, request: &mut Request) {
        self.right.let_in(request);
    }
}

impl Right {
    /// Has the request go on.
    pub fn let_in(self, request: &mut Request) {
        request.user = self.user;
        if !self.forward {
            request.drop_authorization();
        }
    }
}

impl Worker {
    /// Verifies the credentials of a request, which goes on then. `Err` is the response to one that does not.
    pub(in crate::proxy) async fn verify(
        &self,
        request: &mut Request,
        check: Check,
    ) -> Result<(), Box<Response<Body>>> {
        let verifier = self.gateway.verifier.clone();
        let client = request.client_behind_proxies();
        for (auth, trial) in check.trials {
            match verifier.verify(trial, client).await {
                Ok(true) => {}
                Ok(false) => return Err(Box::new(self.challenge(request, &auth))),
                Err(full) => {
                    let error =
                        Error::new(ErrorKind::Overloaded, Side::Internal).detail(match full {
                            Full::All => "too many passwords are being verified",
                            Full::Client => "too many passwords of this client are being verified",
                        });
                    let status = Detail::Other("unauthorized");
                    return Err(Box::new(self.turn_away(request, &error, status)));
                }
            }
        }
        check.right.let_in(request);
        Ok(())
    }

    /// The response to a request whose credentials are missing or wrong (RFC 9110 §15.5.2).
    pub(super) fn challenge(&self, request: &Request, auth: &Auth) -> Response<Body> {
        let has_some = Presented::of(request.received()) != Presented::Nothing;
        let error = Error::downstream(ErrorKind::Unauthorized);
        let error = match has_some {
            true => error.detail("these credentials are not accepted"),
            false => error,
        };
        let detail = Detail::Other("unauthorized");
        let mut response = self.turn_away(request, &error, detail);
        for challenge in &auth.challenges[usize::from(has_some)] {
            response
                .headers_mut()
                .append(WWW_AUTHENTICATE, challenge.clone());
        }
        response
    }
}
