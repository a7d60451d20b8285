//! Every reason for which a request is not answered from the store, or a response is not stored: one table, which
//! Cache-Status, `explain`, the metrics and the documents read.
//!
//! The rules have enums of their own, whose tokens stand here with the words for users.

mod reason;
mod table;

pub use self::reason::{Kind, Reason};
pub use self::table::REASONS;

/// The place of a reason in [`REASONS`]: all that is remembered of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonNumber(pub u8);

impl ReasonNumber {
    pub fn reason(self) -> Option<&'static Reason> {
        REASONS.get(usize::from(self.0))
    }
}

impl Reason {
    /// The reason of this kind with this token.
    pub fn find(kind: Kind, token: &str) -> Option<&'static Self> {
        REASONS
            .iter()
            .find(|reason| reason.kind == kind && reason.token == token)
    }

    /// The reason that a `detail` of Cache-Status names.
    pub fn of_detail(token: &str) -> Option<&'static Self> {
        let is_detail = |kind| matches!(kind, Kind::NotStored | Kind::Reuse | Kind::Own);
        REASONS
            .iter()
            .find(|reason| is_detail(reason.kind) && reason.token == token)
    }

    /// The number of one of [`REASONS`].
    pub fn number(&self) -> Option<ReasonNumber> {
        let at = REASONS
            .iter()
            .position(|reason| reason.kind == self.kind && reason.token == self.token);
        at.and_then(|at| u8::try_from(at).ok()).map(ReasonNumber)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_token_is_there_once_and_a_detail_means_one_reason() {
        assert!(REASONS.len() < 255, "a number has eight bits");
        let kinds: HashSet<_> = REASONS.iter().map(|r| (r.kind, r.token)).collect();
        assert_eq!(kinds.len(), REASONS.len());
        let is_detail = |r: &&Reason| matches!(r.kind, Kind::NotStored | Kind::Reuse | Kind::Own);
        let details = REASONS.iter().filter(is_detail);
        let tokens: HashSet<_> = details.clone().map(|r| r.token).collect();
        assert_eq!(tokens.len(), details.count());
        for reason in &REASONS {
            assert_eq!(Reason::find(reason.kind, reason.token), Some(reason));
            let number = reason.number().expect("a place");
            assert_eq!(number.reason(), Some(reason));
        }
    }

    #[test]
    fn reasons_are_told_in_sentences() {
        for reason in &REASONS {
            let token = reason.token;
            let is_token = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(token.chars().all(is_token), "{token}");
            for text in [reason.sentence, reason.cure] {
                let ends = text.is_empty() || text.ends_with('.');
                let begins = !text.starts_with(|c: char| c.is_lowercase());
                assert!(ends && begins && !text.contains('|'), "{token}: {text}");
            }
            assert!(!reason.sentence.is_empty(), "{token}");
            let is_rfc = reason.section.starts_with("RFC ") && reason.section.contains('§');
            assert!(
                is_rfc || reason.section.is_empty() || reason.section == "Fetch",
                "{token}"
            );
        }
    }
}
