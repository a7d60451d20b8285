//! Why a certificate was not issued, and what an operator can do about it.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use http::Uri;
use instant_acme::{Error, Problem};

use crate::config::Acme;
use crate::config::acme::Challenge;
use crate::config::certificate::Fault;

/// What went wrong, and its cure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub what: String,
    pub cure: &'static str,
    /// How long the authority has asked to wait for.
    pub retry_after: Option<Duration>,
    is_bad_nonce: bool,
}

const BAD_NONCE: &str = "badNonce";

/// The authority's problems (RFC 8555 §6.7), and what is to be done about each.
const CURES: [(&str, &str); 10] = [
    (
        "rateLimited",
        "wait: the authority limits how often it is asked; it is tried again later",
    ),
    (
        "caa",
        "let the CAA records of the name's domain allow this authority",
    ),
    (
        "dns",
        "give the name an address in DNS, and let its name servers answer the authority",
    ),
    (
        "tls",
        "let port 443 of the name lead to this gateway, with no other TLS in front",
    ),
    (
        "rejectedIdentifier",
        "ask another authority: this one does not issue for the name",
    ),
    (
        "userActionRequired",
        "read what the authority writes, at the URL in the error, and do it",
    ),
    (
        "externalAccountRequired",
        "give `eab_key_id` and `eab_hmac_key`: this authority binds accounts to one that you have there",
    ),
    ("invalidContact", "correct `contact`"),
    ("unsupportedContact", "correct `contact`"),
    (BAD_NONCE, "nothing: it is tried again"),
];

/// The problems that mean that the authority found something else at the name.
const FOUND_ANOTHER: [&str; 3] = ["connection", "unauthorized", "incorrectResponse"];

impl Failure {
    fn new(what: impl Into<String>, cure: &'static str) -> Self {
        Self {
            what: what.into(),
            cure,
            retry_after: None,
            is_bad_nonce: false,
        }
    }

    /// An error of the protocol.
    pub fn of(error: &Error, acme: &Acme) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(problem, acme),
            Error::Other(other) => match other.downcast_ref::<Unreachable>() {
                Some(unreachable) => Self::new(with_causes(unreachable), reach(unreachable)),
                None => Self::because(&**other),
            },
            Error::Timeout(_) => Self::late(Duration::from_secs(180)),
            error => Self::because(error),
        }
    }

    fn of_problem(problem: &Problem, acme: &Acme) -> Self {
        let token = token(problem);
        let mut what = format!("the authority says {token}");
        let detail = problem.detail.iter().chain(
            problem
                .subproblems
                .iter()
                .filter_map(|problem| problem.detail.as_ref()),
        );
        for detail in detail {
            // Writing to a String cannot fail.
            let _ = write!(what, ": {detail}");
        }
        let known = CURES.iter().find(|(known, _)| *known == token);
        let cure = match (known, acme.challenge) {
            (Some((_, cure)), _) => cure,
            (None, _) if !FOUND_ANOTHER.contains(&token) => "see what the authority says",
            (None, Challenge::Http01) => {
                "let the name's DNS records lead here, and let the authority reach port 80: http://NAME/.well-known/acme-challenge/ has to be answered by a listener without TLS"
            }
            (None, Challenge::TlsAlpn01) => {
                "let the name's DNS records lead here, and let the authority reach port 443 with no other TLS in front"
            }
        };
        Self {
            is_bad_nonce: token == BAD_NONCE,
            ..Self::new(what, cure)
        }
    }

    pub fn is_bad_nonce(&self) -> bool {
        self.is_bad_nonce
    }

    /// An error of the system or a library.
    pub fn because(error: &dyn StdError) -> Self {
        Self::new(with_causes(error), "see what the error says")
    }

    pub fn store(error: io::Error) -> Self {
        Self::new(
            format!("the folder of `state` cannot be used: {error}"),
            "let this user write there, and leave room on its disk",
        )
    }

    /// A file, or what the authority has sent.
    pub fn unusable(fault: Fault) -> Self {
        Self::new(fault.to_string(), "see what the error says")
    }

    pub fn other_name(names: &[String]) -> Self {
        Self::new(
            format!("the authority has issued a certificate for {names:?} instead"),
            "ask another authority",
        )
    }

    pub fn no_challenge(acme: &Acme) -> Self {
        let cure = match acme.challenge {
            Challenge::Http01 => "use `challenge = \"tls-alpn-01\"`",
            Challenge::TlsAlpn01 => "use `challenge = \"http-01\"`",
        };
        Self::new(
            "the authority does not offer this challenge for the name",
            cure,
        )
    }

    pub fn no_profile(profile: &str, known: &[&str], error: &Error) -> Self {
        let known = match known {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        Self::new(
            format!("the authority has no profile {profile:?}, but {known}: {error}"),
            "correct `profile`, or remove it",
        )
    }

    /// It was not done within `limit`.
    pub fn late(limit: Duration) -> Self {
        Self::new(
            format!("the authority did not finish within {} s", limit.as_secs()),
            "nothing: it is tried again",
        )
    }

    /// The same, and that the authority has asked to wait.
    pub fn or_retry_after(self, retry_after: Option<Duration>) -> Self {
        // No longer than a day: the operator may have mended it.
        let retry_after = retry_after.map(|pause| pause.min(Duration::from_secs(24 * 60 * 60)));
        Self {
            retry_after,
            ..self
        }
    }
}

/// The last part of a problem's type.
fn token(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    kind.strip_prefix("urn:ietf:params:acme:error:")
        .unwrap_or(kind)
}

/// Whether a new order was refused for its account: it is not known, or has been deactivated or revoked (RFC 8555 §7.3.6).
pub(super) fn is_of_account(error: &Error) -> bool {
    match error {
        Error::Api(problem) => ["accountDoesNotExist", "unauthorized"].contains(&token(problem)),
        _ => false,
    }
}

fn reach(unreachable: &Unreachable) -> &'static str {
    let io = unreachable.error.downcast_ref::<io::Error>();
    let is_tls = io.and_then(io::Error::get_ref).is_some_and(|inner| {
        matches!(
            inner.downcast_ref(),
            Some(rustls::Error::InvalidCertificate(_))
        )
    });
    match is_tls {
        true => {
            "for a private authority, name the certificate that its server's is signed by in `directory_ca`"
        }
        false => {
            "let this machine reach the authority; certificates that there are stay in use meanwhile"
        }
    }
}

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The authority could not be reached, or gave no answer that ACME knows.
#[derive(Debug)]
pub(super) struct Unreachable {
    pub uri: Uri,
    pub error: BoxError,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.uri, self.error)
    }
}

impl StdError for Unreachable {}

/// The error and its causes, as far as it does not say them itself.
fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
