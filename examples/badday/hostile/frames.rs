//! Frames of HTTP/2 as octets (RFC 9113 §4.1), for a client that obeys no rule.

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut octets = length.to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A field section for a GET of `path` (RFC 7541: the static table's names, literals without indexing).
pub fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04];
    text(&mut block, path.as_bytes());
    block.push(0x01);
    text(&mut block, b"lab");
    block
}

/// A string literal without Huffman coding.
pub fn text(block: &mut Vec<u8>, value: &[u8]) {
    integer(block, 7, 0, value.len());
    block.extend(value);
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1).
pub fn integer(block: &mut Vec<u8>, bits: u8, first: u8, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        block.push(first | value as u8);
        return;
    }
    block.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}
