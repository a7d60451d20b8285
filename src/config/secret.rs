//! Values that must never be printed.

use std::fmt;

/// A secret: its `Debug` shows nothing, and comparing takes the same time wherever the difference lies.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    pub fn new(value: impl Into<Box<str>>) -> Self {
        Self(value.into())
    }

    /// The secret itself, to be sent to who asks for it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `candidate` is this secret. The digests are compared, so that the time taken tells nothing about how
    /// much of a guess was right.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(candidate)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_bytes())
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output_and_matches_only_itself() {
        let secret = Secret::new("sesame");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert!(secret.matches(b"sesame"));
        for wrong in ["", "sesam", "sesame ", "Sesame"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong:?}");
        }
    }
}
