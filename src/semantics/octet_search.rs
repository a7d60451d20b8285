//! Which of eight octets are a given one, found at once: in short texts, to begin a search of `memchr`'s costs more than it
//! saves.

/// The lowest, and the highest, bit of each octet.
const LOW: u64 = u64::MAX / 0xff;
const HIGH: u64 = LOW << 7;

/// The highest bit of each octet that is `octet`; the first octet is the lowest.
pub const fn equal(octets: [u8; 8], octet: u8) -> u64 {
    let differing = u64::from_le_bytes(octets) ^ (LOW * octet as u64);
    // No octet carries into the next: each of `differing` is zero where neither bit below the highest nor that one is set.
    !((differing & !HIGH).wrapping_add(!HIGH) | differing) & HIGH
}

/// The highest bit of each octet that is beyond ASCII.
pub const fn beyond_ascii(octets: [u8; 8]) -> u64 {
    u64::from_le_bytes(octets) & HIGH
}

/// Where the first octet is that is marked; 8 where none is.
pub const fn first(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// The marks without the first.
pub const fn without_first(marks: u64) -> u64 {
    marks & marks.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_octet_is_told_from_its_neighbours(
            octets in proptest::array::uniform8(prop_oneof![Just(b'\n'), Just(b'\x0b'), Just(0), Just(0x8a), any::<u8>()]),
            octet in prop_oneof![Just(b'\n'), Just(0), Just(0xff), any::<u8>()],
        ) {
            let mut marks = equal(octets, octet);
            let mut found = Vec::new();
            while marks != 0 {
                found.push(first(marks));
                marks = without_first(marks);
            }
            let expected: Vec<_> = (0..8).filter(|at| octets[*at] == octet).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(beyond_ascii(octets) == 0, octets.is_ascii());
        }
    }
}
