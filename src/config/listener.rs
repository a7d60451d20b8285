//! `[[listener]]`: further addresses, with TLS for the clients that connect there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::acme::{Acme, Challenge};
use super::certificate::{Certificate, authorities};
use super::listen_addr::{ListenAddr, listen_addrs};
use super::readers::{count, flag, network, one_of, or_off, path, some_list, timeout};
use super::section::Section;

/// Addresses on which connections are treated alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    pub listen: Vec<ListenAddr>,
    /// `None`: without TLS.
    pub tls: Option<Tls>,
    /// Each request is answered by a redirect to the same URL with https at this port; `None`: it is served.
    pub redirect: Option<u16>,
    /// The balancers whose connections begin with a PROXY header; empty: no connection does.
    pub proxy_protocol: Vec<IpNet>,
}

/// `[listener.tls]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The first is used where the client names no host, or one that no certificate is for.
    pub certificates: Vec<Certificate>,
    /// Further ones, which an authority issues. Without these there is at least one certificate.
    pub acme: Option<Arc<Acme>>,
    pub min_version: Version,
    /// Authorities (PEM) of client certificates; `None` where clients need none.
    pub client_ca: Option<PathBuf>,
    /// Certificates that authorities have revoked (PEM).
    pub client_crl: Option<PathBuf>,
    /// Clients without a certificate are served, too.
    pub client_optional: bool,
    /// The API is told the client's certificate in Client-Cert (RFC 9440).
    pub client_cert_field: bool,
    /// The `max-age` of Strict-Transport-Security (RFC 6797); `None` for no such field.
    pub hsts: Option<Duration>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    #[default]
    Tls12,
    Tls13,
}

const VERSIONS: [(&str, Version); 2] = [("1.2", Version::Tls12), ("1.3", Version::Tls13)];

impl Listener {
    /// All that the file has, in its order.
    pub(super) fn read_all(root: &mut Section<'_>) -> Vec<Self> {
        let mut listeners: Vec<Self> = Vec::new();
        let mut need_plain = Vec::new();
        root.sections("listener", |section| {
            let listener = Self::read(section);
            for addr in &listener.listen {
                let is_taken = listeners.iter().any(|other| other.listen.contains(addr));
                if is_taken && !addr.is_free_port() {
                    let place = section.given("listen").unwrap_or_else(|| section.span());
                    section.mistake(place, format!("another [[listener]] has {addr} already"));
                }
            }
            if let Some(acme) = listener.acme() {
                let is_others = |name: &str| {
                    let mut others = listeners.iter().filter_map(Self::acme);
                    others.any(|other| {
                        other.domains.iter().any(|of| **of == *name)
                            && !acme.has_authority_of(other)
                    })
                };
                if let Some(name) = acme.domains.iter().find(|name| is_others(name)) {
                    let place = section.given_in("tls.acme", "domains").unwrap_or_default();
                    let message = format!(
                        "{name} has another authority, account or state in another [[listener]]"
                    );
                    section.mistake(place, message);
                }
                if acme.challenge == Challenge::Http01 {
                    need_plain.push(section.given_in("tls.acme", "challenge"));
                }
            }
            listeners.push(listener);
        });
        let is_plain = |listener: &Self| listener.tls.is_none();
        if root.given_in("server", "listen").is_none() && !listeners.iter().any(is_plain) {
            for place in need_plain.into_iter().flatten() {
                let message = "`challenge`: the authority connects to port 80, and no listener is without TLS; add \
                               one with `listen = \":80\"` and `redirect = 443`, or use \"tls-alpn-01\"";
                root.mistake(place, message);
            }
        }
        listeners
    }

    /// With the defaults.
    pub fn at(listen: Vec<ListenAddr>) -> Self {
        Self {
            listen,
            tls: None,
            redirect: None,
            proxy_protocol: Vec::new(),
        }
    }

    fn acme(&self) -> Option<&Arc<Acme>> {
        self.tls.as_ref()?.acme.as_ref()
    }

    /// Whether both have the same addresses, with or without TLS; its settings follow a reload.
    pub fn are_bound_alike(old: &[Self], new: &[Self]) -> bool {
        old.len() == new.len()
            && old.iter().zip(new).all(|(old, new)| {
                old.listen == new.listen
                    && old.redirect == new.redirect
                    && old.proxy_protocol == new.proxy_protocol
                    && old.tls.is_some() == new.tls.is_some()
            })
    }

    fn read(section: &mut Section<'_>) -> Self {
        let mut listener = Self::at(Vec::new());
        if section.given("listen").is_none() {
            let message = "a listener needs an address, such as `listen = \":8443\"`";
            section.mistake(section.span(), message);
        }
        section.set("listen", &mut listener.listen, listen_addrs);
        section.set(
            "redirect",
            &mut listener.redirect,
            or_off(count(1..=u16::MAX)),
        );
        let balancers = &mut listener.proxy_protocol;
        section.set("proxy_protocol", balancers, some_list(network));
        let is_unix = |addr: &ListenAddr| matches!(addr, ListenAddr::Unix(_));
        let has_unix = listener.listen.iter().any(is_unix);
        if has_unix && let Some(place) = section.given("proxy_protocol") {
            let message = "`proxy_protocol` is for TCP addresses";
            section.mistake(place, message);
        }
        let has_tls = section.given("tls");
        let tls = section.section("tls", Tls::read);
        let Some(place) = has_tls else {
            return listener;
        };
        if listener.redirect.is_some() {
            let message =
                "a listener that redirects to https has no TLS itself: remove `redirect` or `tls`";
            section.mistake(place.clone(), message);
        }
        if has_unix {
            let message = "TLS is for TCP addresses; a Unix socket does not leave the machine";
            section.mistake(place, message);
        }
        listener.tls = tls;
        listener
    }
}

impl Tls {
    /// With the defaults.
    pub fn with(certificates: Vec<Certificate>) -> Self {
        Self {
            certificates,
            acme: None,
            min_version: Version::default(),
            client_ca: None,
            client_crl: None,
            client_optional: false,
            client_cert_field: false,
            hsts: None,
        }
    }

    fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut found = Vec::new();
        section.sections("certificates", |section| {
            found.extend(Certificate::of(section))
        });
        let mut tls = Self::with(found);
        tls.acme = section.section("acme", Acme::read).map(Arc::new);
        section.set("min_version", &mut tls.min_version, one_of(&VERSIONS));
        section.set("client_ca", &mut tls.client_ca, |value| {
            Some(Some(authorities(value)?))
        });
        section.set("client_crl", &mut tls.client_crl, |value| {
            Some(Some(path(value)?))
        });
        section.set("client_optional", &mut tls.client_optional, flag);
        section.set("client_cert_field", &mut tls.client_cert_field, flag);
        section.set("hsts", &mut tls.hsts, or_off(timeout));
        let has_any = section.given("certificates").is_some() || section.given("acme").is_some();
        if !has_any && section.span() != (0..0) {
            let message = "TLS needs a certificate: `certificates = [{ cert = \"cert.pem\", key = \"key.pem\" }]`, or \
                           `acme` for one that is issued automatically";
            section.mistake(section.span(), message);
        }
        for key in ["client_crl", "client_optional", "client_cert_field"] {
            if tls.client_ca.is_none()
                && let Some(place) = section.given(key)
            {
                section.mistake(place, format!("`{key}` has no effect without `client_ca`"));
            }
        }
        (!tls.certificates.is_empty() || tls.acme.is_some()).then_some(tls)
    }
}
