//! `[admin]`: the listener for health, metrics, purge and explain.

use std::net::Ipv4Addr;

use super::secret::Secret;
use super::server::{ListenAddr, listen_addr};
use super::value::or_off;
use super::walk::{Section, Value};

/// The ops desk.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    pub listen: ListenAddr,
    /// The bearer token that changing and explaining requests must carry; `None` means that everyone who can
    /// connect may.
    pub token: Option<Secret>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 9090).into()),
            token: None,
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
        admin.listen = listen?;
        Some(admin)
    }

    /// Whether anyone on another machine could connect and would be asked for nothing.
    pub(super) fn is_open(&self) -> bool {
        let reachable = matches!(&self.listen, ListenAddr::Tcp(addr) if !addr.ip().is_loopback());
        reachable && self.token.is_none()
    }
}

/// What can stand after `Authorization: Bearer`. Its mistakes never show it.
fn token(value: Value<'_>) -> Option<Secret> {
    let text = value.text("a string such as \"${BOOKEND_ADMIN_TOKEN}\"")?;
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
                token: None,
            };
            assert_eq!(admin.is_open(), is_open, "{}", admin.listen);
            admin.token = Some(Secret::new("sesame"));
            assert!(!admin.is_open());
        }
    }
}
