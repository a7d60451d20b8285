//! `[admin]`: the listener for health, metrics, purge and explain.

use std::net::Ipv4Addr;

use toml::de::DeValue;

use super::listen_addr::{ListenAddr, listen_addr};
use super::readers::{list, or_off};
use super::secret::Secret;
use super::section::Section;
use super::value::Value;
use crate::semantics::authority::{Scheme, normal_authority};

/// The admin API's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    pub listen: ListenAddr,
    /// The bearer token that changing and explaining requests must carry; `None` means that everyone who can
    /// connect may.
    pub token: Option<Secret>,
    /// Names that requests may call it by, in lower case, beside addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 9090).into()),
            token: None,
            hosts: Vec::new(),
        }
    }
}

impl Admin {
    /// `None` for `listen = "off"`.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut admin = Self::default();
        let mut listen = Some(admin.listen);
        section.set("listen", &mut listen, or_off(listen_addr));
        section.set("token", &mut admin.token, |value| Some(Some(token(value)?)));
        section.set("hosts", &mut admin.hosts, list(host));
        admin.listen = listen?;
        Some(admin)
    }

    /// Whether a request for `authority`, in normal form, may have been meant for us: an address cannot be made to lead
    /// elsewhere, nor `localhost`. Empty where an HTTP/1.0 request names no host, which browsers always do.
    pub fn is_own_host(&self, authority: &str) -> bool {
        if authority.is_empty() || authority.starts_with('[') {
            return true;
        }
        let host = authority
            .split_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host.strip_suffix('.').unwrap_or(host);
        host == "localhost"
            || host.parse::<Ipv4Addr>().is_ok()
            || self.hosts.iter().any(|own| own == host)
    }

    /// Whether anyone on another machine could connect and would be asked for nothing.
    pub(super) fn is_open(&self) -> bool {
        let reachable = matches!(&self.listen, ListenAddr::Tcp(addr) if !addr.ip().is_loopback());
        reachable && self.token.is_none()
    }
}

/// A host's name without a port, in lower case.
fn host(value: Value<'_>) -> Option<String> {
    let name = value.text("a name such as \"bookend.internal\"")?;
    match normal_authority(&name, Scheme::Http) {
        Ok(host) if !host.is_empty() && !name.contains([':', '[']) => {
            Some(host.trim_end_matches('.').to_owned())
        }
        _ => value.refuse_text("is no host's name, such as \"bookend.internal\", without a port"),
    }
}

/// What can stand after `Authorization: Bearer`. Its mistakes never show it.
fn token(value: Value<'_>) -> Option<Secret> {
    let text = value.text("a string such as \"${BOOKEND_ADMIN_TOKEN}\"")?;
    // What a variable holds may begin as it likes.
    if let DeValue::String(written) = value.item()
        && let Some(name) = written.strip_prefix('$')
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return value.refuse(format!(
            "`token` would be these very letters; for the environment variable write \"${{{name}}}\""
        ));
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
        return value.refuse("`token` must be of visible ASCII characters, without spaces");
    }
    Some(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_others_can_reach_is_open_without_a_token() {
        for (listen, is_open) in [
            ("127.0.0.1:9090", false),
            ("127.8.8.8:9090", false),
            ("[::1]:9090", false),
            ("unix:/run/admin.sock", false),
            (":9090", true),
            ("10.0.0.1:9090", true),
            ("[::]:9090", true),
        ] {
            let listen = listen.parse().expect(listen);
            let mut admin = Admin {
                listen,
                ..Admin::default()
            };
            assert_eq!(admin.is_open(), is_open, "{}", admin.listen);
            admin.token = Some(Secret::new("sesame"));
            assert!(!admin.is_open());
        }
    }

    #[test]
    fn its_own_hosts_are_addresses_localhost_and_those_of_the_file() {
        let admin = Admin {
            hosts: vec!["bookend.internal".to_owned()],
            ..Admin::default()
        };
        for (authority, is_own) in [
            ("", true),
            ("127.0.0.1", true),
            ("10.1.2.3:9090", true),
            ("[::1]:9090", true),
            ("localhost:9090", true),
            ("localhost.", true),
            ("bookend.internal:9090", true),
            ("bookend.internal.", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.1", false),
            ("bookend", false),
        ] {
            assert_eq!(admin.is_own_host(authority), is_own, "{authority}");
        }
    }
}
