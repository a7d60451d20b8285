//! Hash slots of a cluster: which one a key has, and which node has which.

use redis::{Value, from_redis_value};

use crate::config::valkey_servers::Address;

/// The hash slot of a key: by what is in its first braces, if that is something.
pub fn of(key: &str) -> u16 {
    let tag = key
        .split_once('{')
        .and_then(|(_, rest)| Some(rest.split_once('}')?.0));
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16(hashed.as_bytes()) % 16_384
}

/// CRC-16/XMODEM: the polynomial 0x1021, from zero on.
fn crc16(octets: &[u8]) -> u16 {
    octets.iter().fold(0, |crc, octet| {
        (0..8).fold(crc ^ u16::from(*octet) << 8, |crc: u16, _| {
            let carry = if crc & 0x8000 == 0 { 0 } else { 0x1021 };
            crc << 1 ^ carry
        })
    })
}

/// Slots that one node has, from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u16,
    pub last: u16,
    pub primary: Address,
}

/// The answer to CLUSTER SLOTS, by the slots. `asked` is where it came from: a node that does not know its own address leaves it
/// out.
pub fn read(answer: Value, asked: &Address) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else {
        return None;
    };
    let ranges = ranges.into_iter().map(|range| read_range(range, asked));
    let mut ranges = ranges.collect::<Option<Vec<_>>>()?;
    ranges.sort_by_key(|range| range.first);
    Some(ranges)
}

fn read_range(range: Value, asked: &Address) -> Option<Range> {
    let Value::Array(range) = range else {
        return None;
    };
    let [first, last, Value::Array(primary), ..] = range.as_slice() else {
        return None;
    };
    let [host, port, ..] = primary.as_slice() else {
        return None;
    };
    let host: Option<String> = from_redis_value(host.clone()).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    Some(Range {
        first: from_redis_value(first.clone()).ok()?,
        last: from_redis_value(last.clone()).ok()?,
        primary: at(host.as_deref(), from_redis_value(port.clone()).ok()?, asked)?,
    })
}

/// Where a redirection leads: `host:port`, or `:port` of the same host.
pub fn read_redirection(text: &str, asked: &Address) -> Option<Address> {
    let (host, port) = text.rsplit_once(':')?;
    let host = Some(host).filter(|host| !host.is_empty());
    at(host, port.parse().ok()?, asked)
}

fn at(host: Option<&str>, port: u16, asked: &Address) -> Option<Address> {
    let host = match (host, asked) {
        (Some(host), _) => host.to_owned(),
        (None, Address::Tcp { host, .. }) => host.clone(),
        (None, Address::Unix(_)) => return None,
    };
    Some(Address::Tcp { host, port })
}

/// The node of a slot; `None` where no node has it.
pub fn primary(ranges: &[Range], slot: u16) -> Option<&Address> {
    let after = ranges.partition_point(|range| range.first <= slot);
    let range = ranges.get(after.checked_sub(1)?)?;
    (slot <= range.last).then_some(&range.primary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of("123456789"), 0x31c3);
        assert_eq!(of("foo"), 12_182);
        assert_eq!(of("a{foo}b{bar}"), 12_182);
        assert_eq!(of("{}foo"), crc16(b"{}foo") % 16_384);
        assert_eq!(of("{foo"), crc16(b"{foo") % 16_384);
        assert_eq!(of("{{foo}"), crc16(b"{foo") % 16_384);
    }

    #[test]
    fn a_slot_is_looked_up_in_what_a_node_has_told() {
        let text = |text: &str| Value::BulkString(text.into());
        let told = |first, last, host, port| {
            let primary = Value::Array(vec![host, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), primary])
        };
        let answer = Value::Array(vec![
            told(200, 300, text("10.0.0.2"), 2),
            told(0, 99, text("::1"), 1),
            told(100, 100, Value::Nil, 3),
            told(301, 301, text("?"), 4),
        ]);
        let ranges = read(answer, &node("seed", 9)).expect("ranges");
        for (slot, expected) in [
            (0, Some(node("::1", 1))),
            (99, Some(node("::1", 1))),
            (100, Some(node("seed", 3))),
            (101, None),
            (200, Some(node("10.0.0.2", 2))),
            (300, Some(node("10.0.0.2", 2))),
            (301, Some(node("seed", 4))),
            (302, None),
        ] {
            assert_eq!(primary(&ranges, slot), expected.as_ref(), "{slot}");
        }
        assert_eq!(primary(&[], 0), None);
        assert_eq!(read(text("no"), &node("seed", 9)), None);
    }

    #[test]
    fn a_redirection_names_a_node() {
        let asked = node("seed", 9);
        assert_eq!(
            read_redirection("10.0.0.2:7", &asked),
            Some(node("10.0.0.2", 7))
        );
        assert_eq!(read_redirection("::1:7", &asked), Some(node("::1", 7)));
        assert_eq!(read_redirection(":7", &asked), Some(node("seed", 7)));
        assert_eq!(read_redirection("h", &asked), None);
    }
}
