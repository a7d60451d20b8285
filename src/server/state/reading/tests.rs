use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::semantics::percent::encoded_octets;
use crate::server::shared::WorkerShared;

/// The octets of a message that hyper must see, and the octets that the client sends.
#[derive(Clone, Debug)]
struct Message {
    sent: Vec<u8>,
    seen: Vec<u8>,
    /// `None` for a head alone; the length of content, or else it is chunked.
    content: Option<Option<u64>>,
    head: usize,
}

/// Content that looks like requests.
fn tempting(length: usize) -> Vec<u8> {
    let request = b"GET /{\"} HTTP/1.1\r\n\r\n";
    request.iter().copied().cycle().take(length).collect()
}

fn message() -> impl Strategy<Value = Message> {
    let octet = prop_oneof![select(&b"ab/?%["[..]), select(&b"{\"<\\\x80\xff"[..])];
    let content = prop_oneof![
        Just(None),
        (1..80_u64).prop_map(|length| Some(Some(length))),
        Just(Some(None)),
    ];
    let method = select(&["GET", "POST", "a"][..]);
    let end = select(&["\r\n", "\n"][..]);
    let blank = select(&["", "\r\n"][..]);
    (blank, method, vec(octet, 0..12), content, end, 1..60_usize).prop_map(
        |(blank, method, target, content, end, size)| {
            let fields = format!(" HTTP/1.1{end}A: {{<\"{end}{end}");
            let octets = match content {
                None => Vec::new(),
                Some(Some(length)) => tempting(length as usize),
                Some(None) => {
                    let size_line = format!("{size:x}\r\n");
                    let data = tempting(size);
                    [size_line.as_bytes(), &data, b"\r\n0\r\nA: {\"}\r\n\r\n"].concat()
                }
            };
            let begin = format!("{blank}{method} /");
            let written = |target: &[u8]| [begin.as_bytes(), target, fields.as_bytes()].concat();
            let head = written(&encoded_octets(&target));
            Message {
                sent: [&written(&target), &octets[..]].concat(),
                head: head.len(),
                seen: [&head, &octets[..]].concat(),
                content,
            }
        },
    )
}

/// Reads `sent` in pieces that end at `cuts`, with so much room at a time, and says after each head what comes behind it.
fn read(messages: &[Message], cuts: &[usize], room: usize) -> Vec<u8> {
    let state = State::new(Rc::<WorkerShared>::default());
    state.set_protocol(Protocol::Http1);
    let sent: Vec<u8> = messages.iter().flat_map(|one| one.sent.clone()).collect();
    let mut heads = Vec::new();
    let mut begins = 0;
    for one in messages {
        heads.push((begins + one.head, one.content));
        begins += one.seen.len();
    }
    let mut heads = heads.into_iter().peekable();
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut * sent.len() / 1_000).collect();
    cuts.sort_unstable();
    cuts.push(sent.len());
    let (mut seen, mut from) = (Vec::new(), 0);
    let mut tell = |seen: &Vec<u8>| {
        if let Some((_, content)) = heads.next_if(|(end, _)| *end <= seen.len()) {
            match content {
                None => state.on_head(),
                Some(length) => assert_eq!(state.on_content(length), ContentFraming::Known),
            }
        }
    };
    for cut in cuts {
        let piece = &sent[from..cut];
        from = cut;
        let admitted = state.admit(piece).unwrap();
        seen.extend_from_slice(&piece[..admitted]);
        tell(&seen);
        let mut room = vec![0; room];
        loop {
            let mut buf = ReadBuf::new(&mut room);
            if !state.read_held(&mut buf).unwrap() {
                break;
            }
            seen.extend_from_slice(buf.filled());
            tell(&seen);
        }
    }
    assert!(heads.next().is_none(), "all heads have been seen");
    assert!(!state.has_input.get(), "nothing is left");
    seen
}

proptest! {
    #[test]
    fn nothing_but_targets_is_written_anew_however_it_is_cut(
        messages in vec(message(), 1..5),
        cuts in vec(0..1_000_usize, 0..9),
        room in 3..300_usize,
    ) {
        let expected: Vec<u8> = messages.iter().flat_map(|one| one.seen.clone()).collect();
        let seen = read(&messages, &cuts, room);
        prop_assert_eq!(seen.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

#[test]
fn heads_that_come_by_themselves_leave_nothing_behind() {
    let state = State::new(Rc::<WorkerShared>::default());
    state.set_protocol(Protocol::Http1);
    let head = b"GET /books?page=2 HTTP/1.1\r\nHost: a\r\nA: {\"}\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(state.admit(head).unwrap(), head.len());
        assert!(!state.has_input.get());
        state.on_head();
    }
    assert_eq!(state.on_content(Some(2)), ContentFraming::Known);
    assert_eq!(state.admit(b"{\"").unwrap(), 2);
    assert!(!state.has_input.get());
}
