//! What a reason says.

/// The decision that a reason explains. Within one kind, each token is there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Why a request went to the API: `fwd` of Cache-Status.
    Forward,
    /// Why the cache could not share what the API answers to a request: `explain` alone names it.
    Passed,
    /// Why a response was not stored: `detail` of Cache-Status.
    NotStored,
    /// Why a stored response had to be validated, or was used although stale: `detail`.
    Reuse,
    /// Why the gateway answered itself: `detail`.
    Own,
}

/// A reason in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    pub kind: Kind,
    /// Its name for tools, which never changes.
    pub token: &'static str,
    /// What happened, in one sentence.
    pub sentence: &'static str,
    /// What to change in the API's responses, in the requests or in the configuration; empty where nothing need change.
    pub cure: &'static str,
    /// The rule; empty where it is the gateway's own.
    pub section: &'static str,
}
