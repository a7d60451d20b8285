//! `[valkey]`: what gateways of a fleet share, and the servers by which they do.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::certificate::Certificate;
use super::readers::{count, flag, list, path};
use super::section::Section;
use super::valkey_servers::{Part, Password, Servers, Written};
use super::value::Value;

/// The longest name of a namespace, in octets.
const LONGEST_NAME: usize = 64;

/// For how long a gateway may serve on that does not reach the fleet's server.
const DEAF: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// The settings of the shared tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valkey {
    pub servers: Servers,
    /// Gateways with the same one share what they have.
    pub namespace: Box<str>,
    /// So many replicas must have an invalidation before it is acknowledged.
    pub replicas: u32,
    /// For how long a gateway that cannot hear serves on without asking; zero: it validates at once.
    pub deaf: Duration,
    /// For how long a gateway that was heard may serve without asking. No key: all gateways of a namespace must have the same.
    pub lease: Duration,
    /// For how long a server that was replaced may go on answering. No key, likewise.
    pub replaced: Duration,
}

impl Valkey {
    /// `None` where it is off, since it has no URL.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut written = Written::default();
        // Its mistakes never show it: it may have a password.
        let url = |value: Value<'_>| match value.item() {
            DeValue::String(_) => Some(value.text("")?.into_owned()),
            _ => value.refuse("`url` must be a string such as \"redis://127.0.0.1:6379\""),
        };
        section.set("url", &mut written.urls, list(url));
        let named = |value: Value<'_>| Some(Some(value.text("a name")?.into_owned()));
        section.set("sentinel", &mut written.sentinel, named);
        section.set("cluster", &mut written.is_cluster, flag);
        section.set("user", &mut written.user, named);
        section.set("password_file", &mut written.password, |value| {
            Some(Some(Password::File(path(value)?)))
        });
        section.set("ca_file", &mut written.ca_file, |value| {
            Some(Some(path(value)?))
        });
        let (mut cert, mut key) = (None::<PathBuf>, None::<PathBuf>);
        section.set("cert", &mut cert, |value| Some(Some(path(value)?)));
        section.set("key", &mut key, |value| Some(Some(path(value)?)));
        section.set("tls_name", &mut written.tls_name, named);
        let mut valkey = Self::through(Servers::at("redis://127.0.0.1").ok()?);
        section.set("namespace", &mut valkey.namespace, namespace);
        section.set("replicas", &mut valkey.replicas, count(0..=16));
        section.set("when_deaf", &mut valkey.deaf, when_deaf);
        match (cert, key) {
            (Some(cert), Some(key)) => written.certificate = Some(Certificate { cert, key }),
            (None, None) => {}
            (cert, _) => {
                let (given, missing) = match cert {
                    Some(_) => ("cert", "key"),
                    None => ("key", "cert"),
                };
                if let Some(place) = section.given(given) {
                    section.mistake(place, format!("`{given}` needs `{missing}` beside it"));
                }
            }
        }
        let at = section.given("url")?;
        if section.is_mistaken(&at) {
            return None;
        }
        match Servers::of(written) {
            Ok(servers) => Some(Self { servers, ..valkey }),
            Err(fault) => {
                let key = key_of(fault.part);
                let place = section.given(key).unwrap_or(at);
                section.mistake(place, format!("`{key}`: {fault}"));
                None
            }
        }
    }

    /// The defaults, with these servers.
    pub fn through(servers: Servers) -> Self {
        Self {
            servers,
            namespace: "bookend".into(),
            replicas: 0,
            deaf: Duration::ZERO,
            lease: Duration::from_secs(3),
            replaced: Duration::from_secs(15),
        }
    }
}

/// The key that has what is wrong.
fn key_of(part: Part) -> &'static str {
    match part {
        Part::Url(_) | Part::Urls => "url",
        Part::Sentinel => "sentinel",
        Part::Cluster => "cluster",
        Part::User => "user",
        Part::Password => "password_file",
        Part::CaFile => "ca_file",
        Part::Certificate => "cert",
        Part::TlsName => "tls_name",
    }
}

fn namespace(value: Value<'_>) -> Option<Box<str>> {
    let name = value.text("a name such as \"books\"")?;
    let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    match (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        true => Some(name.into()),
        false => value.refuse_text(format!(
            "is not one to {LONGEST_NAME} letters, digits, \".\", \"_\" and \"-\""
        )),
    }
}

/// `"validate"`, or `"serve:"` and a duration.
fn when_deaf(value: Value<'_>) -> Option<Duration> {
    let refuse = |why: &dyn fmt::Display| {
        value.refuse_text(format!(
            "{why}; write \"validate\", or \"serve:30s\" with another duration from 1s to 1h"
        ))
    };
    let text = value.text("\"validate\" or \"serve:30s\"")?;
    if text == "validate" {
        return Some(Duration::ZERO);
    }
    let Some(span) = text.strip_prefix("serve:") else {
        return refuse(&"is neither");
    };
    match super::units::parse_duration(span) {
        Ok(span) if DEAF.contains(&span) => Some(span),
        Ok(_) => refuse(&"is too short or too long"),
        Err(fault) => refuse(&fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::valkey_servers::Arrangement;

    fn read(text: &str) -> Result<Option<Valkey>, String> {
        let file = format!("[upstream]\nservers = [\"http://127.0.0.1:1\"]\n[valkey]\n{text}\n");
        let config = Config::parse(&file, "config.toml", &|_| None);
        config.map(|config| config.valkey).map_err(|mistakes| {
            let texts: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            texts.join("\n")
        })
    }

    #[test]
    fn without_a_url_there_is_none() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("namespace = \"books\""), Ok(None));
    }

    #[test]
    fn its_keys_are_read() {
        let valkey = read(
            "url = \"redis://:secret@127.0.0.1:7000\"\nnamespace = \"books\"\nreplicas = 2\nwhen_deaf = \"serve:30s\"",
        );
        let valkey = valkey.expect("no mistake").expect("a tier");
        assert!(matches!(valkey.servers.arrangement, Arrangement::Single(_)));
        assert_eq!((&*valkey.namespace, valkey.replicas), ("books", 2));
        assert_eq!(valkey.deaf, Duration::from_secs(30));
        assert!(!format!("{valkey:?}").contains("secret"));
    }

    #[test]
    fn mistakes_are_told_where_they_are_and_without_passwords() {
        for (text, expected) in [
            ("url = 7", ":4:"),
            ("url = \"http://:secret@h\"", ":4:"),
            ("url = \"redis://h\"\nnamespace = \"a b\"", ":5:"),
            (
                "url = \"redis://h\"\nwhen_deaf = \"serve\"",
                "\"serve:30s\"",
            ),
            ("url = \"redis://h\"\nwhen_deaf = \"serve:2h\"", "too long"),
            ("url = \"redis://h\"\ncert = \"a.pem\"", "`key`"),
            ("url = \"redis://h\"\nca_file = \"/nothing\"", "`ca_file`"),
            ("url = [\"redis://a\", \"redis://:secret@b\"]", "URL 2"),
        ] {
            let fault = read(text).expect_err(text);
            assert!(fault.contains(expected), "{text}: {fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
