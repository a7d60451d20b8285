//! The names of keys on the server. What is in braces chooses the hash slot: a namespace's ledger has one, and each resource.

use std::fmt;

use crate::ledger::protocol::server::Epoch;

/// The longest name of a namespace, in octets.
const LONGEST: usize = 64;

/// Gateways of one namespace share what they store and invalidate; those of others on the same server do not see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// `None` unless it is one to 64 letters, digits, `.`, `_` and `-` of ASCII: braces would change the hash slot.
    pub fn new(name: &str) -> Option<Self> {
        let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
        let is_valid = (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_allowed);
        is_valid.then(|| Self(name.into()))
    }

    /// What the ledger's scripts declare, in the order in which they name them: control, ledger, log and gateways.
    pub fn ledger(&self) -> Vec<String> {
        let of = |name| format!("bk:{{{self}}}:{name}");
        ["ctl", "led", "log", "gw"].map(of).into()
    }

    /// The log, from which invalidations are delivered.
    pub fn log(&self) -> String {
        format!("bk:{{{self}}}:log")
    }

    /// The keys of a target URI in an epoch. The hash is long enough that nobody finds two targets with the same; a record names
    /// its target all the same.
    pub fn resource(&self, epoch: Epoch, target: &str) -> Resource {
        let hash = blake3::hash(target.as_bytes());
        let hash: String = hash.to_hex().chars().take(32).collect();
        Resource(format!("bk:{self}:{epoch:016x}:{{{hash}}}"))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of one target URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource(String);

impl Resource {
    /// Its variants.
    pub fn entry(&self) -> String {
        format!("{}:e", self.0)
    }

    /// Who fills a variant.
    pub fn lease(&self, variant: &[u8; 16]) -> String {
        format!("{}:l:{:032x}", self.0, u128::from_be_bytes(*variant))
    }

    /// A part of a long body that a fill has brought.
    pub fn chunk(&self, nonce: u64, index: u32) -> String {
        format!("{}:b:{nonce:016x}:{index}", self.0)
    }
}
