//! One order (RFC 8555 §7.4): from the name to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    KeyAuthorization, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::account::Accounts;
use super::failure::{Failure, is_of_account};
use crate::config::acme::Challenge;
use crate::proxy::{Challenges, Published};
use crate::server::{Issued, PublishedCertificate, Wanted};

/// Where challenges are answered.
pub(super) struct Places<'a> {
    pub challenges: &'a Challenges,
    pub issued: &'a Arc<Issued>,
}

/// A challenge that is answered until this is dropped.
enum Answered {
    Http { _answer: Published },
    Tls { _answer: PublishedCertificate },
}

/// How the authority is asked whether it has looked at a name, or has signed: soon, then less and less often.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// Has a certificate issued in the place of `replaced`. Returns its key, itself, and those that lead to its authority, in PEM.
pub(super) async fn issue(
    accounts: &Accounts<'_>,
    wanted: &Wanted,
    replaced: Option<CertificateIdentifier<'_>>,
    places: &Places<'_>,
) -> Result<String, Failure> {
    let failure = |error: Error| accounts.failure(&error);
    let mut account = accounts.account().await?;
    let mut begun = begin(&account, wanted, replaced.clone()).await;
    // An authority may refuse an order as unauthorized for other reasons, too.
    if begun.as_ref().is_err_and(is_of_account) && accounts.is_refused(&account).await {
        account = accounts.replacement().await?;
        begun = begin(&account, wanted, replaced).await;
    }
    if let Err(error) = &begun
        && let Some(profile) = &wanted.acme.profile
        && account.profiles().all(|known| known.name != profile)
    {
        let known: Vec<_> = account.profiles().map(|known| known.name).collect();
        return Err(Failure::no_profile(profile, &known, error));
    }
    let mut order = begun.map_err(failure)?;
    let answered = answer(&mut order, wanted, places)
        .await
        .map_err(|stopped| match stopped {
            Stopped::Authority(error) => failure(error),
            Stopped::Here(failure) => failure,
        })?;
    // An order whose names have all been looked at lately is ready at once.
    if order.state().status == OrderStatus::Pending {
        let ready = order.poll_ready(&POLLS).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            return Err(match refusal(&mut order).await {
                Some(problem) => failure(Error::Api(problem)),
                None => failure(ready.err().unwrap_or(Error::Str("the order is invalid"))),
            });
        }
    }
    drop(answered);
    // A new key each time: nobody has to notice that an old one was stolen.
    let key = KeyPair::generate().map_err(|error| Failure::because(&error))?;
    let request = request(&wanted.name, &key).map_err(|error| Failure::because(&error))?;
    order.finalize_csr(&request).await.map_err(failure)?;
    let chain = order.poll_certificate(&POLLS).await.map_err(failure)?;
    Ok(key.serialize_pem() + &chain)
}

/// Begins the order. That it replaces a certificate (RFC 9773 §5) is said where the authority takes it.
async fn begin(
    account: &Account,
    wanted: &Wanted,
    replaced: Option<CertificateIdentifier<'_>>,
) -> Result<Order, Error> {
    let name = [Identifier::Dns(wanted.name.as_ref().into())];
    let mut new = NewOrder::new(&name);
    if let Some(profile) = &wanted.acme.profile {
        new = new.profile(profile);
    }
    let Some(replaced) = replaced else {
        return account.new_order(&new).await;
    };
    match account.new_order(&new.replaces(replaced)).await {
        Err(error) if !is_of_account(&error) => {
            tracing::debug!(%error, "ordered without a word of what is replaced");
            // Boxed: it is rare.
            Box::pin(begin(account, wanted, None)).await
        }
        begun => begun,
    }
}

/// Why a challenge could not be answered.
enum Stopped {
    Authority(Error),
    Here(Failure),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Authority(error)
    }
}

/// Answers the challenge of each name that the authority has not looked at lately, and tells it so.
async fn answer(
    order: &mut Order,
    wanted: &Wanted,
    places: &Places<'_>,
) -> Result<Vec<Answered>, Stopped> {
    let kind = match wanted.acme.challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let mut answered = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            return Err(Stopped::Here(Failure::no_challenge(&wanted.acme)));
        };
        let key_authorization = challenge.key_authorization();
        answered.push(match kind {
            ChallengeType::Http01 => Answered::Http {
                _answer: places
                    .challenges
                    .publish(&challenge.token, key_authorization.as_str()),
            },
            _ => {
                let key = proof(&wanted.name, &key_authorization);
                let key = key.map_err(Stopped::Here)?;
                let published = places.issued.prove(&wanted.name, key);
                Answered::Tls {
                    _answer: published.map_err(|fault| Stopped::Here(Failure::unusable(fault)))?,
                }
            }
        });
        challenge.set_ready().await?;
    }
    Ok(answered)
}

/// The fault that the authority has found at a name.
async fn refusal(order: &mut Order) -> Option<instant_acme::Problem> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let state = authorization.refresh().await.ok()?;
        let mut challenges = state.challenges.iter();
        if let Some(problem) = challenges.find_map(|challenge| challenge.error.clone()) {
            return Some(problem);
        }
    }
    None
}

/// The certificate that shows that a name is ours (RFC 8737 §3).
fn proof(name: &str, key_authorization: &KeyAuthorization) -> Result<CertifiedKey, Failure> {
    let made = || {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        let digest = key_authorization.digest();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok::<_, rcgen::Error>((certificate, key))
    };
    let (certificate, key) = made().map_err(|error| Failure::because(&error))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_supported_type(&key).map_err(|error| Failure::because(&error))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// A certificate signing request: the name is in the alternative names alone.
fn request(name: &str, key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key)?.der().to_vec())
}
