//! The kinds of the entries of the dynamic table (RFC 7541 §2.3.2) that a peer fills. A line that refers to an entry is
//! malformed where its entry is.

use crate::semantics::list::is_tchar;

/// The kinds of the 128 latest entries, and whether they are malformed. An entry has a size of at least 32 octets (RFC 7541
/// §4.1), and the table one of 4,096 unless the endpoints agree on another: so no older entry can be referred to.
///
/// Each row has a bit for each entry, the latest in the lowest. Evicted entries are kept; all are older than those that
/// were not evicted.
#[derive(Debug, Default)]
pub(super) struct Table {
    kinds: [u128; 3],
    malformed: u128,
}

/// The kind of a field: it decides which values are malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Field,
    Path,
    /// `:authority`, `:scheme`, `:protocol`.
    Uri,
    Method,
    Status,
    /// A field whose name is malformed.
    Malformed,
    /// A field whose name is empty.
    Nameless,
}

/// Entries of the static table (RFC 7541, appendix A).
const STATIC: usize = 61;

impl Table {
    pub fn insert(&mut self, kind: Kind, is_malformed: bool) {
        for (bit, row) in self.kinds.iter_mut().enumerate() {
            *row = *row << 1 | u128::from(kind as u8 >> bit & 1);
        }
        self.malformed = self.malformed << 1 | u128::from(is_malformed);
    }

    /// The kind of the name at this index.
    pub fn kind_of(&self, index: usize) -> Kind {
        let Some(age) = index.checked_sub(STATIC + 1) else {
            return match index {
                4 | 5 => Kind::Path,
                1 | 6 | 7 => Kind::Uri,
                2 | 3 => Kind::Method,
                8..=14 => Kind::Status,
                _ => Kind::Field,
            };
        };
        let bits = self.kinds.iter().rev();
        match bits.fold(0, |kind, row| kind << 1 | bit(*row, age)) {
            1 => Kind::Path,
            2 => Kind::Uri,
            3 => Kind::Method,
            4 => Kind::Status,
            5 => Kind::Malformed,
            6 => Kind::Nameless,
            _ => Kind::Field,
        }
    }

    /// Whether the line at this index is malformed.
    pub fn is_malformed(&self, index: usize) -> bool {
        let age = index.checked_sub(STATIC + 1);
        age.is_some_and(|age| bit(self.malformed, age) == 1)
    }

    /// To be called when a section is passed on without being read: what it added to the table is not known.
    pub fn forget(&mut self) {
        if self.malformed == 0 {
            *self = Self::default();
            return;
        }
        // Any entry may be one of the malformed ones.
        (0..u128::BITS).for_each(|_| self.insert(Kind::Malformed, true));
    }
}

fn bit(row: u128, age: usize) -> u8 {
    u32::try_from(age)
        .ok()
        .and_then(|age| row.checked_shr(age))
        .map_or(0, |row| (row & 1) as u8)
}

impl Kind {
    pub fn of_name(name: &[u8]) -> Self {
        match name {
            b"" => Self::Nameless,
            b":path" => Self::Path,
            b":authority" | b":scheme" | b":protocol" => Self::Uri,
            b":method" => Self::Method,
            b":status" => Self::Status,
            // RFC 9110 §5.6.2, in lower case.
            _ => {
                let allowed = |octet: &u8| is_tchar(*octet) && !octet.is_ascii_uppercase();
                match name.iter().all(allowed) {
                    true => Self::Field,
                    false => Self::Malformed,
                }
            }
        }
    }

    pub fn allows(self, value: &[u8]) -> bool {
        match self {
            Self::Field => value
                .iter()
                .all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..)),
            // The URI is checked when the request is read.
            Self::Uri | Self::Path => std::str::from_utf8(value).is_ok(),
            Self::Method => !value.is_empty() && value.iter().copied().all(is_tchar),
            Self::Status => {
                value.len() == 3 && value[0] != b'0' && value.iter().all(u8::is_ascii_digit)
            }
            Self::Malformed | Self::Nameless => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 7] = [
        Kind::Field,
        Kind::Path,
        Kind::Uri,
        Kind::Method,
        Kind::Status,
        Kind::Malformed,
        Kind::Nameless,
    ];

    #[test]
    fn the_latest_line_has_the_lowest_index() {
        let mut table = Table::default();
        for (at, kind) in KINDS.into_iter().enumerate() {
            table.insert(kind, at % 2 == 1);
        }
        for (at, kind) in KINDS.into_iter().rev().enumerate() {
            assert_eq!(table.kind_of(62 + at), kind);
            assert_eq!(table.is_malformed(62 + at), at % 2 == 1);
        }
        for index in [0, 1, 61, 62 + KINDS.len(), 62 + 128, usize::MAX] {
            assert!(!table.is_malformed(index));
        }
        (0..121).for_each(|_| table.insert(Kind::Field, false));
        assert!(!table.is_malformed(62 + 127));
        assert!(table.is_malformed(62 + 126));
        table.insert(Kind::Field, false);
        assert_eq!(table.kind_of(62 + 127), Kind::Path);
    }

    #[test]
    fn after_a_section_that_was_not_read_no_malformed_line_is_taken_for_a_good_one() {
        let mut table = Table::default();
        table.insert(Kind::Path, false);
        table.forget();
        assert_eq!(table.kind_of(62), Kind::Field);
        table.insert(Kind::Field, true);
        table.forget();
        for index in 62..62 + 128 {
            assert!(table.is_malformed(index) && table.kind_of(index) == Kind::Malformed);
        }
        table.insert(Kind::Path, false);
        assert!(!table.is_malformed(62) && table.is_malformed(63));
        assert_eq!(table.kind_of(62), Kind::Path);
    }
}
