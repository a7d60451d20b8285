//! The Huffman code of HPACK (RFC 7541 §5.2 and Appendix B). It is canonical: the lengths of the codes determine it.

/// Bits of the code for each octet, and for the end of a string (EOS).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LONGEST: usize = 30;
const EOS: u16 = 256;

/// The symbols in the order of their codes, and how many codes there are of each length.
struct Table {
    symbols: [u16; 257],
    counts: [u32; LONGEST + 1],
}

const TABLE: Table = {
    let mut symbols = [0; 257];
    let mut counts = [0; LONGEST + 1];
    let (mut at, mut length) = (0, 1);
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                symbols[at] = symbol as u16;
                counts[length] += 1;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    Table { symbols, counts }
};

/// Whether `octets` are certainly the code of visible ASCII and spaces; false means that they must be decoded to know. The code
/// of every other octet, and of the end of a string, begins with ten ones.
pub(super) fn is_plain(octets: &[u8]) -> bool {
    let mut before = 0_u32;
    octets.iter().all(|octet| {
        let bits = before << 8 | u32::from(*octet);
        before = bits & 0xffff;
        // Where ten ones in a row begin, of the last 24 bits.
        let pairs = bits & bits >> 1;
        let fours = pairs & pairs >> 2;
        let eights = fours & fours >> 4;
        eights & pairs >> 8 == 0
    })
}

/// Whether `octets` are certainly the code of octets that a path may have; false means that they must be decoded to know. Only
/// octets whose codes have at most ten bits are looked for.
pub(super) fn is_plain_path(octets: &[u8]) -> bool {
    const SPACE: u32 = 0x14;
    const QUOTE: u32 = 0x3f9;
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut rest = octets.iter();
    loop {
        while count < 10
            && let Some(octet) = rest.next()
        {
            bits = bits << 8 | u32::from(*octet);
            count += 8;
        }
        // The next ten bits, filled with ones after the end, as the padding is.
        let next = match count {
            10.. => bits >> (count - 10) & 0x3ff,
            _ => (bits << (10 - count) | 0x3ff >> count) & 0x3ff,
        };
        // Codes of the same length are consecutive.
        let length = match next >> 2 {
            0..0x50 => 5,
            0x50..0xb8 if next >> 4 == SPACE => return false,
            0x50..0xb8 => 6,
            0xb8..0xf8 => 7,
            0xf8..0xfe => 8,
            _ if next <= 0x3fc && next != QUOTE => 10,
            // Longer, or the end.
            _ => return count < 8,
        };
        if length > count {
            return true;
        }
        count -= length;
    }
}

/// The string whose code `octets` are; `None` when they are not a valid code.
pub(super) fn decode(octets: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(octets.len() * 8 / 5);
    // The code so far, the first code of its length, and the index of that one's symbol.
    let (mut code, mut first, mut place, mut length) = (0_u32, 0_u32, 0_u32, 0_usize);
    let mut only_ones = true;
    for bit in octets
        .iter()
        .flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1))
    {
        code = code << 1 | u32::from(bit);
        only_ones &= bit == 1;
        length += 1;
        first <<= 1;
        let count = *TABLE.counts.get(length)?;
        if code - first < count {
            let symbol = *TABLE.symbols.get((place + code - first) as usize)?;
            if symbol == EOS {
                return None;
            }
            text.push(symbol as u8);
            (code, first, place, length, only_ones) = (0, 0, 0, 0, true);
            continue;
        }
        first += count;
        place += count;
    }
    // The padding is the beginning of EOS, shorter than an octet.
    (only_ones && length < 8).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the code is written.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut codes = [(0_u32, 0_usize); 257];
        let (mut code, mut at) = (0, 0);
        for length in 1..=LONGEST {
            code <<= 1;
            for _ in 0..TABLE.counts[length] {
                codes[usize::from(TABLE.symbols[at])] = (code, length);
                code += 1;
                at += 1;
            }
        }
        let bits = text.iter().flat_map(|octet| {
            let (code, length) = codes[usize::from(*octet)];
            (0..length).rev().map(move |bit| (code >> bit & 1) as u8)
        });
        let mut bits: Vec<u8> = bits.collect();
        while !bits.len().is_multiple_of(8) {
            bits.push(1);
        }
        bits.chunks(8)
            .map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | bit))
            .collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        // RFC 7541 §C.4, C.6.
        for (octets, text) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f],
                "custom-key",
            ),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decode(octets).as_deref(), Some(text.as_bytes()));
            assert_eq!(encode(text.as_bytes()), octets);
            assert!(is_plain(octets));
        }
    }

    #[test]
    fn a_path_that_is_plain_has_nothing_else() {
        use crate::semantics::percent::Octet;
        for path in [
            "/",
            "/books?page=2&b=(1)!",
            "/a/b.c;d,e*f:g-h_i",
            "/ZXjz/zzzz",
            "",
        ] {
            assert!(is_plain_path(&encode(path.as_bytes())), "{path}");
        }
        for octet in 0..=255 {
            for before in [&b""[..], b"/", b"/zz", b"/1984?~", b"/?!()&*,;XZ"] {
                for after in [&b""[..], b"a", b"?zz"] {
                    let code = encode(&[before, &[octet], after].concat());
                    let allowed = Octet::of(octet) == Octet::Allowed;
                    assert!(allowed || !is_plain_path(&code), "{octet}");
                }
            }
        }
    }

    #[test]
    fn every_octet_comes_back_and_what_is_not_plain_is_noticed() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).as_deref(), Some(&all[..]));
        for octet in all {
            for before in [&b""[..], b"a", b"zz", b"1984~"] {
                let text = [before, &[octet], b"a"].concat();
                let code = encode(&text);
                assert_eq!(decode(&code).as_deref(), Some(&text[..]));
                let plain = (b' '..=b'~').contains(&octet);
                assert!(plain || !is_plain(&code), "{octet}");
            }
        }
        // Too much padding, padding with a zero, the end of a string.
        for wrong in [&[0xff][..], &[0x18], &[0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
