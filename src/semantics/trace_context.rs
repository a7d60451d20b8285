//! Trace Context (W3C Recommendation of 23 November 2021): which trace a request belongs to, and how it goes on.

use http::{HeaderMap, HeaderName, HeaderValue};

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// §3.2.2.5.1: whoever sent it records the trace.
const SAMPLED: u8 = 1;

/// Level 2, §3.2.2.5.2: the last seven octets of the trace's id are random. Recommendations before it have no such flag.
const RANDOM: u8 = 1 << 1;

/// Octets of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The id of a trace; not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of a span; not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// A span, as others name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    pub trace: TraceId,
    pub span: SpanId,
    flags: u8,
}

/// What a request says of the span that it was sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Nothing,
    /// §3.2.2: it must not be used, and a new trace begins.
    Invalid,
    Context(SpanContext),
}

impl Received {
    pub fn of(fields: &HeaderMap) -> Self {
        let mut values = fields.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => {
                SpanContext::parse(value.as_bytes()).map_or(Self::Invalid, Self::Context)
            }
            // Nobody can tell which of them is meant.
            (Some(_), Some(_)) => Self::Invalid,
        }
    }
}

impl SpanContext {
    /// The first span of a new trace, whose id is random.
    pub fn root(trace: TraceId, span: SpanId, sampled: bool) -> Self {
        let flags = if sampled { RANDOM | SAMPLED } else { RANDOM };
        Self { trace, span, flags }
    }

    /// Reads a value: of version 00, or as much as is known of a later one (§4.3).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let separators = [2, 35, 52].map(|at| known[at]);
        let [version] = octets(&known[..2])?;
        let is_whole = match version {
            0 => rest.is_empty(),
            // §3.2.2.1: it is forbidden.
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let trace: [u8; 16] = octets(&known[3..35])?;
        let span: [u8; 8] = octets(&known[36..52])?;
        let [flags] = octets(&known[53..])?;
        // Of a later version only the first flag is known.
        let mask = if version == 0 {
            SAMPLED | RANDOM
        } else {
            SAMPLED
        };
        let is_valid = is_whole && separators == *b"---" && trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self {
            trace: TraceId(trace),
            span: SpanId(span),
            flags: flags & mask,
        })
    }

    /// A span below this one, which is recorded.
    pub fn child(self, span: SpanId) -> Self {
        Self {
            span,
            flags: self.flags | SAMPLED,
            ..self
        }
    }

    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The octet of trace-flags.
    pub fn flags(self) -> u8 {
        self.flags
    }

    /// The value of `traceparent` for what is sent by this span.
    pub fn to_value(self) -> Option<HeaderValue> {
        let mut text = Vec::with_capacity(LENGTH);
        text.extend_from_slice(b"00-");
        push_hex(&self.trace.0, &mut text);
        text.push(b'-');
        push_hex(&self.span.0, &mut text);
        text.push(b'-');
        push_hex(&[self.flags], &mut text);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).ok()
    }
}

impl TraceId {
    /// As it is written.
    pub fn to_hex(self) -> String {
        let mut text = Vec::new();
        push_hex(&self.0, &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

fn push_hex(octets: &[u8], text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for octet in octets {
        text.push(DIGITS[usize::from(octet >> 4)]);
        text.push(DIGITS[usize::from(octet & 15)]);
    }
}

/// Two digits for each octet, in lower case alone.
fn octets<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut octets = [0; N];
    for (octet, pair) in octets.iter_mut().zip(text.chunks_exact(2)) {
        *octet = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (text.len() == 2 * N).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_value_is_read_as_its_version_says() {
        let zero = ("0".repeat(32), "0".repeat(16));
        #[rustfmt::skip]
        let table = [
            (format!("00-{TRACE}-{SPAN}-01"), Some(1)),
            (format!("00-{TRACE}-{SPAN}-00"), Some(0)),
            (format!("00-{TRACE}-{SPAN}-03"), Some(3)),
            (format!("00-{TRACE}-{SPAN}-ff"), Some(3)),
            (format!("00-{TRACE}-{SPAN}-fe"), Some(2)),
            // Later versions may have more, of which nothing is known.
            (format!("01-{TRACE}-{SPAN}-03"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01-"), Some(1)),
            (format!("cc-{TRACE}-{SPAN}-01.what"), None),
            (format!("00-{TRACE}-{SPAN}-01-what"), None),
            (format!("00-{TRACE}-{SPAN}-01-"), None),
            (format!("ff-{TRACE}-{SPAN}-01"), None),
            (format!("00-{}-{SPAN}-01", zero.0), None),
            (format!("00-{TRACE}-{}-01", zero.1), None),
            (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), None),
            (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), None),
            (format!("00-{TRACE}-{SPAN}-0A"), None),
            (format!("0-{TRACE}-{SPAN}-01"), None),
            (format!("0x-{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}.{SPAN}-01"), None),
            (format!("00_{TRACE}-{SPAN}-01"), None),
            (format!("00-{TRACE}-{SPAN}.01"), None),
            (format!("00-{}-{SPAN}-01", &TRACE[1..]), None),
            (format!("00-{TRACE}-{}-01", &SPAN[1..]), None),
            (format!("00-{TRACE}-{SPAN}-1"), None),
            (format!("00-{TRACE}-{SPAN}"), None),
            (format!("00-{TRACE}-{SPAN}-0\u{e9}"), None),
            (String::new(), None),
        ];
        for (value, flags) in table {
            let read = SpanContext::parse(value.as_bytes());
            assert_eq!(read.map(SpanContext::flags), flags, "{value}");
            if let Some(context) = read {
                let written = context.to_value().expect("a value");
                let expected = format!("00-{TRACE}-{SPAN}-{:02x}", context.flags());
                assert_eq!(written, expected, "{value}");
                assert_eq!(context.is_sampled(), context.flags() & 1 == 1);
                assert_eq!(context.trace.to_hex(), TRACE);
            }
        }
    }

    #[test]
    fn one_field_line_counts_and_several_are_none() {
        let valid = HeaderValue::try_from(format!("00-{TRACE}-{SPAN}-01")).expect("a value");
        let mut fields = HeaderMap::new();
        assert_eq!(Received::of(&fields), Received::Nothing);
        fields.append(TRACEPARENT, valid.clone());
        assert!(matches!(Received::of(&fields), Received::Context(_)));
        fields.append(TRACEPARENT, valid);
        assert_eq!(Received::of(&fields), Received::Invalid);
        fields.insert(TRACEPARENT, HeaderValue::from_static("00"));
        assert_eq!(Received::of(&fields), Received::Invalid);
    }

    #[test]
    fn a_recorded_child_of_what_was_not_recorded_is_sampled() {
        let value = format!("00-{TRACE}-{SPAN}-02");
        let parent = SpanContext::parse(value.as_bytes()).expect("valid");
        let child = parent.child(SpanId([1; 8]));
        assert_eq!((child.trace, child.flags()), (parent.trace, 3));
        let root = SpanContext::root(parent.trace, parent.span, false);
        assert_eq!((root.is_sampled(), root.flags()), (false, 2));
    }
}
