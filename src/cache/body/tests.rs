//! A body that is filled and read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

use super::state::PIECE;
use super::*;
use crate::cache::budget::{Budget, Token};
use crate::error::{Error, ErrorKind};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A window that no other body bears on.
fn window(each: u64) -> Window {
    Window { each, all: 1 << 30 }
}

fn budget() -> Arc<Budget> {
    Budget::new(1 << 20)
}

fn poll(reader: &mut Reader) -> Poll<Option<Result<Chunk, Error>>> {
    reader.poll_chunk(&mut Context::from_waker(Waker::noop()))
}

fn read_all(reader: &mut Reader) -> Result<Vec<u8>, ErrorKind> {
    let mut out = Vec::new();
    loop {
        match poll(reader) {
            Poll::Ready(Some(Ok(Chunk::Data(data)))) => out.extend_from_slice(&data),
            Poll::Ready(Some(Ok(Chunk::Trailers(_)))) => {}
            Poll::Ready(Some(Err(error))) => return Err(error.kind()),
            Poll::Ready(None) => return Ok(out),
            Poll::Pending => panic!("the body has not ended"),
        }
    }
}

#[test]
fn a_late_reader_gets_the_body_from_its_first_byte() {
    let (body, mut writer) = SharedBody::new(&budget());
    let mut early = body.reader().unwrap();
    writer.push(b"one ").unwrap();
    assert!(matches!(poll(&mut early), Poll::Ready(Some(Ok(Chunk::Data(data)))) if data == "one "));
    assert!(poll(&mut early).is_pending());
    let mut late = body.reader().unwrap();
    writer.push(b"two").unwrap();
    let stored = writer.seal().unwrap();
    writer.end(None);
    assert_eq!(read_all(&mut late).unwrap(), b"one two");
    assert_eq!(read_all(&mut early).unwrap(), b"two");
    assert_eq!(stored.pieces().concat(), b"one two");
}

#[test]
fn a_waiting_reader_is_woken_once_a_push() {
    let (body, mut writer) = SharedBody::new(&budget());
    let mut reader = body.reader().unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    assert!(
        reader
            .poll_chunk(&mut Context::from_waker(&waker))
            .is_pending()
    );
    writer.push(b"a").unwrap();
    writer.push(b"b").unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
}

#[test]
fn a_writer_that_is_dropped_fails_its_readers_after_their_bytes() {
    let (body, mut writer) = SharedBody::new(&budget());
    let mut reader = body.reader().unwrap();
    writer.push(b"half").unwrap();
    drop(writer);
    assert!(matches!(
        poll(&mut reader),
        Poll::Ready(Some(Ok(Chunk::Data(_))))
    ));
    assert_eq!(read_all(&mut reader), Err(ErrorKind::ResponseIncomplete));
}

#[test]
fn bytes_are_counted_until_the_last_slice_is_gone() {
    let budget = budget();
    let (body, mut writer) = SharedBody::new(&budget);
    writer.push(&[7; 1000]).unwrap();
    assert_eq!(budget.used(), 1000 + PIECE);
    let stored = writer.seal().unwrap();
    writer.end(None);
    drop(body);
    let held = stored.slice(10, 20);
    drop(stored);
    assert_eq!(budget.used(), 1000);
    drop(held);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_body_beyond_the_budget_is_refused_whole() {
    let (_body, mut writer) = SharedBody::new(&Budget::new(10 + PIECE));
    writer.push(&[0; 10]).unwrap();
    assert_eq!(writer.push(&[0; 1]), Err(OverBudget));
    assert_eq!(writer.received(), 10);
}

#[test]
fn the_window_holds_the_writer_and_laggards_are_cut() {
    let (body, mut writer) = SharedBody::new(&budget());
    let (mut fast, mut slow) = (body.reader().unwrap(), body.reader().unwrap());
    writer.push(&[1; 600]).unwrap();
    writer.stop_storing(window(1000));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(writer.poll_room(cx).is_ready());
    writer.push(&[2; 600]).unwrap();
    assert!(writer.poll_room(cx).is_pending());
    assert!(!writer.slow_readers_hold_up_others());
    while poll(&mut fast).is_ready() {}
    assert!(writer.slow_readers_hold_up_others());
    let (some, most) = (Duration::from_millis(10), Duration::from_millis(25));
    writer.charge_slow_readers(some, most);
    writer.charge_slow_readers(some, most);
    assert!(writer.poll_room(cx).is_pending(), "it may still catch up");
    writer.charge_slow_readers(some, most);
    assert!(writer.poll_room(cx).is_ready());
    assert_eq!(read_all(&mut slow), Err(ErrorKind::ReaderTooSlow));
    assert!(body.reader().is_none(), "the first bytes are gone");
    assert!(writer.seal().is_none(), "an unstorable body is not stored");
    writer.end(None);
    assert_eq!(read_all(&mut fast).unwrap(), b"");
}

#[test]
fn a_reader_that_gets_level_owes_nothing() {
    let (body, mut writer) = SharedBody::new(&budget());
    let (mut fast, mut uneven) = (body.reader().unwrap(), body.reader().unwrap());
    writer.stop_storing(window(1000));
    let (some, most) = (Duration::from_millis(20), Duration::from_millis(25));
    for _ in 0..3 {
        writer.push(&[1; 1200]).unwrap();
        while poll(&mut fast).is_ready() {}
        assert!(writer.slow_readers_hold_up_others());
        writer.charge_slow_readers(some, most);
        while poll(&mut uneven).is_ready() {}
    }
    writer.end(None);
    assert_eq!(read_all(&mut uneven).unwrap(), b"");
}

#[test]
fn trailers_come_once_after_the_last_byte() {
    let (body, mut writer) = SharedBody::new(&budget());
    let mut reader = body.reader().unwrap();
    writer.push(b"x").unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grade", http::HeaderValue::from_static("A"));
    writer.end(Some(trailers));
    assert!(matches!(
        poll(&mut reader),
        Poll::Ready(Some(Ok(Chunk::Data(_))))
    ));
    assert!(matches!(
        poll(&mut reader),
        Poll::Ready(Some(Ok(Chunk::Trailers(_))))
    ));
    assert!(matches!(poll(&mut reader), Poll::Ready(None)));
}

#[test]
fn small_chunks_that_nobody_has_read_are_one_piece() {
    let budget = budget();
    let (body, mut writer) = SharedBody::new(&budget);
    let mut reader = body.reader().unwrap();
    for octet in 0..10_000_u32 {
        writer.push(&[octet as u8]).unwrap();
    }
    assert_eq!(budget.used(), 10_000 + PIECE);
    assert!(
        matches!(poll(&mut reader), Poll::Ready(Some(Ok(Chunk::Data(data)))) if data.len() == 10_000)
    );
}

#[test]
fn small_chunks_that_are_read_as_they_come_are_counted_for_what_they_cost() {
    let budget = budget();
    let (body, mut writer) = SharedBody::new(&budget);
    let mut reader = body.reader().unwrap();
    for octet in 0..1000_u32 {
        writer.push(&[octet as u8]).unwrap();
        assert!(poll(&mut reader).is_ready());
    }
    assert_eq!(budget.used(), 1000 * (1 + PIECE));
    let stored = writer.seal().unwrap();
    assert_eq!((stored.len(), budget.used()), (1000, 1000));
}

#[test]
fn a_window_is_full_of_small_chunks_when_their_memory_is() {
    let (body, mut writer) = SharedBody::new(&budget());
    let (mut fast, _slow) = (body.reader().unwrap(), body.reader().unwrap());
    writer.stop_storing(window(1000));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut pushed = 0;
    while writer.poll_room(cx).is_ready() {
        writer.push(b"x").unwrap();
        assert!(poll(&mut fast).is_ready());
        pushed += 1;
    }
    assert_eq!(pushed, 1000_u64.div_ceil(1 + PIECE));
}

#[test]
fn the_windows_of_all_bodies_have_a_bound_beyond_which_each_has_a_segment() {
    const ALL: u64 = 4 * SEGMENT as u64;
    let budget = budget();
    let rules = Window {
        each: 1 << 20,
        all: ALL,
    };
    let cx = &mut Context::from_waker(Waker::noop());
    let mut bodies: Vec<_> = (0..8)
        .map(|_| {
            let (body, mut writer) = SharedBody::new(&budget);
            let reader = body.reader().unwrap();
            writer.stop_storing(rules);
            while writer.poll_room(cx).is_ready() {
                writer.push(&[0; 1024]).unwrap();
            }
            (reader, writer)
        })
        .collect();
    let most = ALL + 8 * (SEGMENT as u64 + 2048);
    assert!(
        (ALL..most).contains(&budget.passing()),
        "{}",
        budget.passing()
    );
    assert_eq!(budget.used(), 0, "they are counted beside it");
    let (mut reader, mut writer) = bodies.pop().unwrap();
    assert!(poll(&mut reader).is_ready());
    assert!(writer.poll_room(cx).is_ready(), "its segment is its own");
    drop((bodies, reader, writer));
    assert_eq!(budget.passing(), 0);
}

/// An event of a body: so many bytes come, or one of its readers polls.
#[derive(Clone, Debug)]
enum Event {
    Comes(usize),
    Reads(usize),
}

proptest! {
    #[test]
    fn readers_get_the_body_as_it_came_in_whatever_steps(
        events in prop::collection::vec(
            prop_oneof![
                (0..100_usize).prop_map(Event::Comes),
                (0..90_000_usize).prop_map(Event::Comes),
                (0..3_usize).prop_map(Event::Reads),
                (0..3_usize).prop_map(Event::Reads),
            ],
            0..60,
        ),
        sealed in any::<bool>(),
    ) {
        let budget = Budget::new(1 << 30);
        let (body, mut writer) = SharedBody::new(&budget);
        let mut readers: Vec<_> = (0..3).map(|_| (body.reader().unwrap(), Vec::new())).collect();
        let mut sent = Vec::new();
        for event in events {
            match event {
                Event::Comes(bytes) => {
                    let data: Vec<u8> = (0..bytes).map(|n| (sent.len() + n) as u8).collect();
                    writer.push(&data).unwrap();
                    sent.extend(data);
                }
                Event::Reads(which) => {
                    let (reader, got) = &mut readers[which];
                    if let Poll::Ready(Some(Ok(Chunk::Data(data)))) = poll(reader) {
                        got.extend_from_slice(&data);
                    }
                }
            }
        }
        let stored = if sealed { writer.seal() } else { None };
        if let Some(stored) = &stored {
            prop_assert_eq!(&stored.pieces().concat(), &sent);
            prop_assert_eq!(budget.used(), sent.len() as u64);
        }
        writer.end(None);
        for (mut reader, mut got) in readers {
            got.extend(read_all(&mut reader).unwrap());
            prop_assert_eq!(&got, &sent);
        }
        drop((body, stored));
        prop_assert_eq!((budget.used(), budget.in_flight(), budget.passing()), (0, 0, 0));
    }
}

#[test]
fn slices_of_a_body_in_pieces_are_exact() {
    let pieces: Vec<Bytes> = (0..3u8).map(|n| Bytes::from(vec![n; SEGMENT])).collect();
    let token = Token::take(&budget(), 3 * SEGMENT as u64).unwrap();
    let body = StoredBody::new(&pieces, token);
    let (from, to) = (SEGMENT as u64 - 2, 2 * SEGMENT as u64 + 1);
    let slice = body.slice(from, to).concat();
    assert_eq!(slice.len() as u64, to - from);
    assert_eq!((slice[0], slice[2], slice[slice.len() - 1]), (0, 1, 2));
    assert!(body.slice(5, 5).is_empty());
}

#[test]
fn many_small_pieces_are_brought_together() {
    let pieces: Vec<Bytes> = (0..2000).map(|_| Bytes::from_static(&[9; 100])).collect();
    let token = Token::take(&budget(), 200_000).unwrap();
    let body = StoredBody::new(&pieces, token);
    assert_eq!(body.len(), 200_000);
    assert!(body.pieces().len() <= 4, "{} pieces", body.pieces().len());
}
