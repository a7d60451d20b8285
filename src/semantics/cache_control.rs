//! Cache-Control as typed directives (RFC 9111 §5.2), with its targeted relatives (RFC 9213) and Pragma (§5.4).

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{HeaderMap, HeaderName};

use super::directive::{Argument, Directive, directives};
use super::policy::HonourRequest;
use super::targeted;
use super::time::DeltaSeconds;

/// What a request asks of caches (RFC 9111 §5.2.1, RFC 5861 §4).
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
    pragma: bool,
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
    /// Reads Cache-Control and, where there is none, Pragma (RFC 9111 §5.4). They are advice (§5.2.1): of several values
    /// the most restrictive counts, and what is no number of seconds asks for as much as it could.
    pub fn parse(request: &HeaderMap) -> Self {
        let mut found = Self::default();
        let mut max_stale = None;
        let mut lines = request.get_all(CACHE_CONTROL).iter().peekable();
        if lines.peek().is_none() {
            found.read_pragma(request);
            return found;
        }
        for directive in lines.flat_map(|line| directives(line.as_bytes())) {
            let argument = directive.argument;
            let name = directive.name();
            // What permits, or asks for an error, is not read out of a mistake.
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
                    let limit = MaxStale::read(argument);
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

    fn read_pragma(&mut self, request: &HeaderMap) {
        self.pragma = request
            .get_all(PRAGMA)
            .iter()
            .flat_map(|line| directives(line.as_bytes()))
            .any(|directive| directive.name().as_bytes() == b"no-cache");
        self.no_cache = self.pragma;
    }

    /// Those directives that the route honours. To be asked once a request.
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
    fn read(argument: Argument<'_>) -> Self {
        match argument {
            Argument::None => Self::Any,
            other => other.delta_seconds().map_or(Self::None, Self::Limit),
        }
    }

    /// Whether a response that has been stale for so many milliseconds will do.
    pub const fn allows(self, stale_for: u64) -> bool {
        match self {
            Self::None => false,
            Self::Limit(limit) => stale_for <= limit.as_millis(),
            Self::Any => true,
        }
    }
}

/// Lowers `limit` to the argument. One that is invalid is taken for zero, so that the response is stale
/// (RFC 9111 §4.2.1); of several the lowest counts, which is never fresher than the first.
fn restrict(limit: &mut Option<DeltaSeconds>, argument: Argument<'_>) {
    let value = argument.delta_seconds().unwrap_or(DeltaSeconds::ZERO);
    *limit = Some(limit.map_or(value, |other| other.min(value)));
}

/// What a response allows caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    pub max_age: Option<DeltaSeconds>,
    pub s_maxage: Option<DeltaSeconds>,
    /// The least `max-age` or `s-maxage` behind a wrong separator (`public; max-age=30`): it makes nothing fresh, but what is
    /// fresh for another reason is so for no longer.
    pub limit: Option<DeltaSeconds>,
    pub stale_while_revalidate: Option<DeltaSeconds>,
    pub stale_if_error: Option<DeltaSeconds>,
    pub no_cache: Scoped,
    pub private: Scoped,
    pub no_store: bool,
    pub no_transform: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub must_understand: bool,
    pub public: bool,
    pub immutable: bool,
    /// They come from a targeted field: Cache-Control and Expires do not count (RFC 9213 §2.2).
    pub targeted: bool,
}

/// A directive that speaks of the whole response or of some of its fields (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scoped {
    #[default]
    Absent,
    Fields(Vec<HeaderName>),
    Whole,
}

impl Scoped {
    /// From what it says once more.
    pub(super) fn add(&mut self, fields: Option<Vec<HeaderName>>) {
        match (&mut *self, fields) {
            (Self::Whole, _) => {}
            (_, None) => *self = Self::Whole,
            (Self::Absent, Some(fields)) => *self = Self::Fields(fields),
            (Self::Fields(known), Some(fields)) => known.extend(fields),
        }
    }

    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// The fields it names; none when it is absent or speaks of the whole response.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }
}

impl ResponseDirectives {
    /// Reads the first of the `targeted` fields that is valid and not empty (RFC 9213 §2.2), else Cache-Control.
    ///
    /// Where directives are repeated or contradict one another the most restrictive counts (RFC 9111 §4.2.1). One that
    /// restricts counts whatever its argument is; one that permits does only as it is defined.
    pub fn parse(response: &HeaderMap, targeted: &[HeaderName]) -> Self {
        targeted::parse(response, targeted).unwrap_or_else(|| Self::from_cache_control(response))
    }

    fn from_cache_control(response: &HeaderMap) -> Self {
        let mut found = Self::default();
        for line in response.get_all(CACHE_CONTROL) {
            for directive in directives(line.as_bytes()) {
                if directive.misplaced {
                    found.read_misplaced(&directive);
                } else {
                    found.read(&directive);
                }
            }
        }
        found
    }

    /// What the origin meant to restrict is restricted, although a mistyped separator makes it no directive of the grammar;
    /// what it may have meant to permit is not permitted.
    fn read_misplaced(&mut self, directive: &Directive<'_>) {
        match directive.name().as_bytes() {
            b"max-age" => restrict(&mut self.limit, directive.argument),
            b"s-maxage" => {
                restrict(&mut self.limit, directive.argument);
                // RFC 9111 §5.2.2.10
                self.proxy_revalidate = true;
            }
            // Beside no-store it permits.
            b"must-understand" => {}
            b"no-cache" | b"private" | b"no-store" | b"no-transform" | b"must-revalidate"
            | b"proxy-revalidate" => self.read(directive),
            _ => {}
        }
    }

    fn read(&mut self, directive: &Directive<'_>) {
        let argument = directive.argument;
        match directive.name().as_bytes() {
            b"max-age" => restrict(&mut self.max_age, argument),
            b"s-maxage" => restrict(&mut self.s_maxage, argument),
            b"stale-while-revalidate" => restrict(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => restrict(&mut self.stale_if_error, argument),
            b"no-cache" => self.no_cache.add(argument.field_names()),
            b"private" => self.private.add(argument.field_names()),
            b"no-store" => self.no_store = true,
            b"no-transform" => self.no_transform = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"public" => self.public |= argument == Argument::None,
            // RFC 8246 §2: arguments have no meaning.
            b"immutable" => self.immutable = true,
            // RFC 9111 §5.2.3: the unknown is ignored.
            _ => {}
        }
    }

    /// Whether the response itself allows that what was fetched with credentials is shared (RFC 9111 §3.5).
    pub const fn allow_sharing(&self) -> bool {
        self.must_revalidate || self.public || self.s_maxage.is_some()
    }
}

#[cfg(test)]
mod tests;
