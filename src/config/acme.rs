//! `[listener.tls.acme]`: certificates that an authority issues over ACME (RFC 8555), and issues again before they expire.

use std::net::IpAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Uri;
use http::uri::Scheme;

use super::certificate::{Certificate, authorities};
use super::readers::{flag, list, one_of, path, some_list};
use super::secret::Secret;
use super::section::Section;
use super::value::Value;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where the unit's StateDirectory is.
const STATE: &str = "/var/lib/bookend/acme";

/// Which authority issues certificates, for which names, and how it is shown that they are ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Acme {
    /// In lower case. Each has a certificate of its own.
    pub domains: Vec<Box<str>>,
    /// URLs, `mailto:…`, at which the authority may write to the operator.
    pub contact: Vec<String>,
    /// The URL of the authority's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// Authorities (PEM) that may sign the certificate of the directory's server; `None` for the public ones.
    pub directory_ca: Option<PathBuf>,
    /// The folder of accounts, certificates and keys.
    pub state: PathBuf,
    pub challenge: Challenge,
    /// One of the authority's kinds of certificates; `None` for its default.
    pub profile: Option<String>,
    /// The account that the operator has with the authority already.
    pub binding: Option<Binding>,
}

/// An account that was made elsewhere, which that of ACME is bound to (RFC 8555 §7.3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub key_id: String,
    /// In base64url without padding, as authorities give it.
    pub hmac_key: Secret,
}

/// How the authority is shown that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a response on port 80 (RFC 8555 §8.3).
    Http01,
    /// By a certificate on port 443 (RFC 8737).
    TlsAlpn01,
}

const CHALLENGES: [(&str, Challenge); 2] = [
    ("http-01", Challenge::Http01),
    ("tls-alpn-01", Challenge::TlsAlpn01),
];

impl Binding {
    /// The octets of the key.
    pub fn mac_key(&self) -> Vec<u8> {
        let key = URL_SAFE_NO_PAD.decode(self.hmac_key.expose());
        key.unwrap_or_default()
    }
}

impl Acme {
    /// The folder of all that this authority has issued: none is taken for another's after a change of `directory`.
    pub fn folder(&self) -> PathBuf {
        let digest = blake3::hash(self.directory.as_bytes()).to_hex();
        let uri = self.directory.parse::<Uri>().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or("ca");
        let host = host.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        self.state.join(format!("{host}-{}", &digest[..8]))
    }

    /// The one file of `domain`'s certificate and its key, which can only be replaced together.
    pub fn certificate(&self, domain: &str) -> Certificate {
        let file = self.folder().join(format!("{domain}.pem"));
        Certificate {
            cert: file.clone(),
            key: file,
        }
    }

    /// Whether both mean the same authority, reached in the same way.
    pub(super) fn has_authority_of(&self, other: &Self) -> bool {
        let other = Self {
            domains: self.domains.clone(),
            challenge: self.challenge,
            ..other.clone()
        };
        *self == other
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut acme = Self {
            domains: Vec::new(),
            contact: Vec::new(),
            directory: DIRECTORY.to_owned(),
            directory_ca: None,
            state: STATE.into(),
            challenge: Challenge::TlsAlpn01,
            profile: None,
            binding: None,
        };
        let (mut key_id, mut hmac_key) = (None, None);
        let mut agrees = false;
        section.set("domains", &mut acme.domains, domains);
        section.set("contact", &mut acme.contact, list(contact));
        section.set("directory", &mut acme.directory, directory);
        section.set("directory_ca", &mut acme.directory_ca, |value| {
            Some(Some(authorities(value)?))
        });
        section.set("state", &mut acme.state, path);
        section.set("challenge", &mut acme.challenge, one_of(&CHALLENGES));
        section.set("profile", &mut acme.profile, |value| {
            Some(Some(value.text("the name of a profile")?.into_owned()))
        });
        section.set("eab_key_id", &mut key_id, |value| {
            Some(Some(value.text("the id of a key")?.into_owned()))
        });
        section.set("eab_hmac_key", &mut hmac_key, |value| {
            let text = value.text("a key in base64url")?;
            let text = text.trim_end_matches('=');
            match URL_SAFE_NO_PAD.decode(text) {
                Ok(key) if !key.is_empty() => Some(Some(Secret::new(text))),
                // The key itself is not shown.
                _ => value
                    .refuse("`eab_hmac_key` is not a key in base64url, as the authority gives it"),
            }
        });
        acme.binding = key_id
            .zip(hmac_key)
            .map(|(key_id, hmac_key)| Binding { key_id, hmac_key });
        let given = |key| section.given(key);
        if let (Some(place), None) | (None, Some(place)) =
            (given("eab_key_id"), given("eab_hmac_key"))
        {
            section.mistake(place, "`eab_key_id` and `eab_hmac_key` belong together");
        }
        section.set("agree_terms", &mut agrees, flag);
        if section.span() == (0..0) {
            return None;
        }
        if section.given("domains").is_none() {
            let message = "ACME needs `domains`, the names that certificates are for";
            section.mistake(section.span(), message);
        }
        if !agrees {
            let message = "ACME needs `agree_terms = true`: read the terms of service that the authority's directory \
                           names, and agree to them";
            let place = section.given("agree_terms");
            section.mistake(place.unwrap_or_else(|| section.span()), message);
        }
        (!acme.domains.is_empty()).then_some(acme)
    }
}

fn domains(value: Value<'_>) -> Option<Vec<Box<str>>> {
    let domains = some_list(domain)(value)?;
    for (at, domain) in domains.iter().enumerate() {
        if domains[..at].contains(domain) {
            return value.members()[at].refuse_text("is listed twice");
        }
    }
    Some(domains)
}

fn domain(value: Value<'_>) -> Option<Box<str>> {
    let text = value.text("a name such as \"books.example.org\"")?;
    let text = text.to_lowercase();
    if text.contains('*') {
        return value.refuse_text(
            "is a wildcard, which neither challenge can prove (RFC 8555 §8): list each name",
        );
    }
    if text.parse::<IpAddr>().is_ok() {
        return value.refuse_text("is an address; certificates are for names");
    }
    if !text.is_ascii() {
        return value.refuse_text("is to be written in its ASCII form, which begins with xn--");
    }
    let is_label = |label: &str| {
        let is_of = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        matches!(label.len(), 1..=63)
            && label.bytes().all(is_of)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match text.len() <= 253 && text.split('.').all(is_label) {
        true => Some(text.into()),
        false => value.refuse_text("is not a host name, such as \"books.example.org\""),
    }
}

fn contact(value: Value<'_>) -> Option<String> {
    let text = value.text("a contact such as \"mailto:ops@example.org\"")?;
    match text.strip_prefix("mailto:") {
        Some(address) if address.contains('@') => Some(text.into_owned()),
        _ => value.refuse_text("is not a contact, such as \"mailto:ops@example.org\""),
    }
}

/// RFC 8555 §6.1: all is by https.
fn directory(value: Value<'_>) -> Option<String> {
    let text = value.text("the URL of a directory")?;
    match text.parse::<Uri>() {
        Ok(uri) if uri.scheme() == Some(&Scheme::HTTPS) && uri.host().is_some() => {
            Some(text.into_owned())
        }
        _ => value.refuse_text(format!("is not an https URL, such as \"{DIRECTORY}\"")),
    }
}

#[cfg(test)]
mod tests;
