//! The directives of a response (RFC 9111 §5.2.2), as Cache-Control gives them.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use super::directive::{Argument, Directive, directives, restrict};
use crate::semantics::time::DeltaSeconds;

/// The directives of a response for caches (RFC 9111 §5.2.2, RFC 5861, RFC 8246).
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

/// A directive that applies to the whole response or to some of its fields (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scoped {
    #[default]
    Absent,
    Fields(Vec<HeaderName>),
    Whole,
}

impl Scoped {
    /// Adds another occurrence of the directive.
    fn add(&mut self, fields: Option<Vec<HeaderName>>) {
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

    /// The fields that it names; none when it is absent or applies to the whole response.
    pub fn fields(&self) -> &[HeaderName] {
        match self {
            Self::Fields(names) => names,
            Self::Absent | Self::Whole => &[],
        }
    }
}

impl ResponseDirectives {
    /// Reads Cache-Control alone.
    pub(super) fn from_cache_control(response: &HeaderMap) -> Self {
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

    /// Reads a directive behind a mistyped separator, which by the grammar is none. It counts where it restricts, as the
    /// origin meant it to; where it permits, it does not.
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

    /// Whether the response allows a shared cache to reuse it although its request had credentials (RFC 9111 §3.5).
    pub const fn allow_sharing(&self) -> bool {
        self.must_revalidate || self.public || self.s_maxage.is_some()
    }
}
