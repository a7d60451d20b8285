//! Whether a client's content was a whole request to the server, however it ended.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::uploads::{BoxError, Fallible, data};
use super::*;
use crate::upstream::RequestStream;

/// Frames that are there; `None` of them is the end. It knows what is left of a length that was declared.
struct Parts {
    frames: VecDeque<Option<Fallible>>,
    left: Option<u64>,
    /// Whether the last of them is known to be the last (END_STREAM).
    is_last_known: bool,
}

impl Body for Parts {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Fallible>> {
        let frame = self.frames.pop_front().flatten();
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut self.left) {
            *left -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_last_known && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[test]
fn content_is_whole_by_its_end_or_by_the_length_that_it_stated() {
    let gone = || Some(Err::<Frame<Bytes>, BoxError>("the client has left".into()));
    let some = || Some(data("book"));
    let trailers = || Some(Ok(Frame::trailers(HeaderMap::new())));
    // The frames that are taken, what was declared, and whether the last is known to be the last; whether that is all of
    // it, and whether it was broken off.
    let cases = [
        (vec![], Some(4), false, false, false),
        (vec![some()], Some(4), false, true, false),
        (vec![some(), gone()], Some(4), false, true, false),
        (vec![some()], Some(5), false, false, false),
        (vec![some(), gone()], Some(5), false, false, true),
        (vec![gone()], Some(4), false, false, true),
        (vec![some()], None, false, false, false),
        (vec![some(), None], None, false, true, false),
        (vec![some(), gone()], None, false, false, true),
        (vec![some(), trailers(), gone()], None, false, false, true),
        (vec![some(), trailers()], None, true, true, false),
        (vec![some()], None, true, true, false),
        (vec![gone()], None, true, false, true),
    ];
    run(async {
        for (at, (frames, left, is_last_known, is_whole, was_broken_off)) in
            cases.into_iter().enumerate()
        {
            let (count, frames) = (frames.len(), frames.into());
            let stream = RequestStream::new(Parts {
                frames,
                left,
                is_last_known,
            });
            let upload = stream.upload();
            let mut body = RequestBody::Stream(stream);
            for _ in 0..count {
                let _ = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            }
            let found = (upload.is_whole(), upload.was_broken_off());
            assert_eq!(found, (is_whole, was_broken_off), "row {at}");
        }
    });
}
