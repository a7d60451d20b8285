//! The directives of a request (RFC 9111 §5.2.1).

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

use super::directive::{Argument, directives, restrict};
use crate::semantics::policy::HonourRequest;
use crate::semantics::time::DeltaSeconds;

/// The directives of a request for caches (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// The response's age may be at most this; 0 asks for validation.
    pub max_age: Option<DeltaSeconds>,
    /// The response shall be fresh for at least this much longer.
    pub min_fresh: Option<DeltaSeconds>,
    pub max_stale: MaxStale,
    /// Staleness that the client accepts rather than an error.
    pub stale_if_error: Option<DeltaSeconds>,
    /// `no-cache`, or `Pragma: no-cache` where there is no Cache-Control.
    pub no_cache: bool,
    pub no_store: bool,
    pub no_transform: bool,
    pub only_if_cached: bool,
    /// `no_cache` comes from Pragma.
    pub(super) pragma: bool,
}

/// How stale a response the client accepts (RFC 9111 §5.2.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaxStale {
    /// Not at all.
    #[default]
    None,
    /// By at most this.
    Limit(DeltaSeconds),
    /// By any time.
    Any,
}

impl RequestDirectives {
    /// Reads Cache-Control and, where there is none, Pragma (RFC 9111 §5.4). The directives are advice (§5.2.1): of several
    /// values the most restrictive counts, and an argument that is no number of seconds counts as the most restrictive one.
    pub fn parse(request: &HeaderMap) -> Self {
        let mut found = Self::default();
        let mut max_stale = None;
        let mut lines = request.get_all(CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            found.pragma = request
                .get_all(PRAGMA)
                .iter()
                .flat_map(|line| directives(line.as_bytes()))
                .any(|directive| directive.name().as_bytes() == b"no-cache");
            found.no_cache = found.pragma;
            return found;
        }
        for directive in lines.flat_map(|line| directives(line.as_bytes())) {
            let argument = directive.argument;
            let name = directive.name();
            // A misplaced directive that permits something, or asks for an error, is ignored.
            if directive.misplaced
                && !matches!(
                    name.as_bytes(),
                    b"max-age" | b"min-fresh" | b"no-cache" | b"no-store" | b"no-transform"
                )
            {
                continue;
            }
            match name.as_bytes() {
                b"max-age" => restrict(&mut found.max_age, argument),
                b"min-fresh" => {
                    let wanted = argument.delta_seconds().unwrap_or(DeltaSeconds::MAX);
                    found.min_fresh = found.min_fresh.max(Some(wanted));
                }
                b"max-stale" => {
                    let limit = match argument {
                        Argument::None => MaxStale::Any,
                        other => other
                            .delta_seconds()
                            .map_or(MaxStale::None, MaxStale::Limit),
                    };
                    max_stale = Some(max_stale.map_or(limit, |other| limit.min(other)));
                }
                b"stale-if-error" => restrict(&mut found.stale_if_error, argument),
                b"no-cache" => found.no_cache = true,
                b"no-store" => found.no_store = true,
                b"no-transform" => found.no_transform = true,
                b"only-if-cached" => found.only_if_cached = true,
                _ => {}
            }
        }
        found.max_stale = max_stale.unwrap_or_default();
        found
    }

    /// The directives that the route honours. To be called once a request.
    #[must_use]
    pub fn honoured(self, honour: &HonourRequest) -> Self {
        let no_cache = if self.pragma {
            honour.pragma
        } else {
            honour.no_cache
        };
        Self {
            max_age: self.max_age.filter(|_| honour.max_age),
            min_fresh: self.min_fresh.filter(|_| honour.min_fresh),
            max_stale: if honour.max_stale {
                self.max_stale
            } else {
                MaxStale::None
            },
            stale_if_error: self.stale_if_error.filter(|_| honour.max_stale),
            no_cache: self.no_cache && no_cache,
            no_store: self.no_store && honour.no_store,
            only_if_cached: self.only_if_cached && honour.only_if_cached,
            ..self
        }
    }
}

impl MaxStale {
    /// Whether a response that has been stale for so many milliseconds will do.
    pub const fn allows(self, stale_for: u64) -> bool {
        match self {
            Self::None => false,
            Self::Limit(limit) => stale_for <= limit.as_millis(),
            Self::Any => true,
        }
    }
}
