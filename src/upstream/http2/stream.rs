//! One request's part of an HTTP/2 connection: its content on the way there, and its response on the way back.

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::Instant;

use super::Shared;
use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::{self, Deadline};
use crate::upstream::errors;
use crate::upstream::http1::connection::{Fate, Unanswered, head_within, poll_overdue};
use crate::upstream::interim::OnInterim;
use crate::upstream::names::address::Address;
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::request_head::into_http2;

/// Dropped before the response's end, it resets the stream.
#[derive(Debug)]
pub(in crate::upstream) struct Stream {
    slot: Rc<Slot>,
    deadline: Deadline,
    upload: Option<Upload>,
    /// Hands the content over; ended by whoever drops the stream.
    pump: Option<JoinHandle<()>>,
    reused: bool,
    /// Whether its request was the first that the server got on the connection.
    first: bool,
}

/// A stream's part in what the connection bears, for as long as either direction goes on.
#[derive(Debug)]
struct Slot {
    shared: Rc<Shared>,
    /// When the latest part of the request was handed to the connection.
    written: Cell<Instant>,
}

impl Stream {
    pub(super) fn new(shared: &Rc<Shared>, reused: bool) -> Self {
        let active = &shared.status.active;
        active.set(active.get() + 1);
        Self {
            slot: Rc::new(Slot {
                shared: shared.clone(),
                written: Cell::new(deadline::timer_now()),
            }),
            deadline: Deadline::default(),
            upload: None,
            pump: None,
            reused,
            first: false,
        }
    }

    /// Where the connection leads.
    pub(in crate::upstream) fn address(&self) -> Option<&Address> {
        self.slot.shared.address.as_deref()
    }

    /// Whether the connection has carried a request before this one.
    pub(in crate::upstream) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the server has got no request on the connection before this one.
    pub(in crate::upstream) fn is_first(&self) -> bool {
        self.first
    }

    pub(in crate::upstream) fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }

    /// Sends `request` and waits for a response's head, at most `timeout` from when the upstream had all that there
    /// was to send.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
        scheme: &'static str,
        timeout: Duration,
    ) -> Result<Response<Content>, Unanswered> {
        let upload = request.body().upload();
        let told = OnInterim::of(&request);
        let mut sender = match self.slot.shared.sender.clone().ready().await {
            Ok(sender) => sender,
            Err(error) => {
                return Err(Unanswered {
                    error: errors::of_stream(error, None),
                    unsent: Some(request),
                    fate: Fate::Refused,
                });
            }
        };
        let (head, body) = into_http2(request, scheme).map_err(hopeless)?;
        let end = body.is_end_stream();
        let (answer, sending) = sender
            .send_request(head, end)
            .map_err(|error| hopeless(Error::downstream(ErrorKind::BadRequest).because(error)))?;
        drop(sender);
        // RFC 9113 §5.1.1
        self.first = answer.stream_id().as_u32() == 1;
        self.slot.written.set(deadline::timer_now());
        if !end {
            self.upload.clone_from(&upload);
            self.pump = Some(spawn_local(pump(body, sending, self.slot.clone())));
        }
        let slot = &self.slot;
        let written = || slot.written.get();
        match head_within(
            timeout,
            final_response(answer, told),
            &mut self.deadline,
            written,
            upload.as_ref(),
        )
        .await
        {
            Some(Ok(Some(response))) => {
                let fields = response.headers().len();
                slot.shared.head.check_fields(fields).map_err(hopeless)?;
                Ok(response.map(Content::new))
            }
            Some(Ok(None)) => {
                let error = Error::upstream(ErrorKind::ResponseProtocol);
                Err(hopeless(
                    error.detail("the upstream switched protocols within HTTP/2"),
                ))
            }
            Some(Err(error)) => Err(Unanswered {
                unsent: None,
                fate: errors::fate_of_stream(&error),
                error: errors::of_stream(error, upload.as_ref()),
            }),
            None => {
                slot.shared.doubt();
                Err(hopeless(Error::upstream(ErrorKind::ResponseTimeout)))
            }
        }
    }

    /// The response has stalled.
    pub(in crate::upstream) fn doubt(&self) {
        self.slot.shared.doubt();
    }

    /// The response is complete. What is left of the request's content is still sent, unless the server takes nothing of
    /// it for `stall`.
    pub(in crate::upstream) fn finish(mut self, stall: Duration) {
        let Some(mut pump) = self.pump.take().filter(|pump| !pump.is_finished()) else {
            return;
        };
        let (slot, upload) = (self.slot.clone(), self.upload.take());
        let mut deadline = std::mem::take(&mut self.deadline);
        deadline.arm(stall);
        spawn_local(async move {
            poll_fn(|cx| {
                if Pin::new(&mut pump).poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                poll_overdue(
                    &mut deadline,
                    || slot.written.get(),
                    upload.as_ref(),
                    stall,
                    cx,
                )
            })
            .await;
            // The rest of a stream that has no sender any more is reset.
            pump.abort();
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let shared = &self.shared;
        let left = shared.status.active.get() - 1;
        shared.status.active.set(left);
        if left == 0 {
            shared.idle_since.set(shared.clock.now().mono);
        }
        shared.freed.notify_one();
    }
}

/// Waits for the final response, and has the interim ones `told` as they come; `None` for one that HTTP/2 does not have
/// (RFC 9113 §8.6).
async fn final_response(
    mut answer: ResponseFuture,
    told: Option<OnInterim>,
) -> Result<Option<Response<RecvStream>>, h2::Error> {
    while let Some(interim) = poll_fn(|cx| answer.poll_informational(cx)).await {
        let interim = interim?;
        if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        if let Some(told) = &told {
            told.tell(interim.status(), interim.headers());
        }
    }
    answer.await.map(Some)
}

/// What another attempt would not change.
fn hopeless(error: Error) -> Unanswered {
    Unanswered {
        error,
        unsent: None,
        fate: Fate::Answered,
    }
}

/// Hands a request's content to its stream as fast as the server takes it. Content that breaks off resets the stream.
async fn pump(body: RequestBody, mut sending: SendStream<Bytes>, slot: Rc<Slot>) {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| {
            if sending.poll_reset(cx).is_ready() {
                // It wants no more of it.
                return Poll::Ready(None);
            }
            body.as_mut().poll_frame(cx).map(Some)
        });
        let frame = match next.await {
            None => return,
            Some(Some(Ok(frame))) => frame,
            Some(Some(Err(_))) => return sending.send_reset(Reason::CANCEL),
            Some(None) => {
                // Fails only where the stream has ended by itself; so below.
                let _ = sending.send_data(Bytes::new(), true);
                return;
            }
        };
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                if !send(&mut sending, data, last, &slot).await || last {
                    return;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    let _ = sending.send_trailers(trailers);
                    return;
                }
            }
        }
    }
}

/// Whether the stream has taken all of `data`.
async fn send(sending: &mut SendStream<Bytes>, mut data: Bytes, last: bool, slot: &Slot) -> bool {
    if data.is_empty() {
        return !last || sending.send_data(data, true).is_ok();
    }
    while !data.is_empty() {
        sending.reserve_capacity(data.len());
        if sending.capacity() == 0
            && !matches!(poll_fn(|cx| sending.poll_capacity(cx)).await, Some(Ok(_)))
        {
            return false;
        }
        let part = data.split_to(sending.capacity().min(data.len()));
        let end = last && data.is_empty();
        if !part.is_empty() && sending.send_data(part, end).is_err() {
            return false;
        }
        slot.written.set(deadline::timer_now());
    }
    true
}

/// The content of a response, up to a verified END_STREAM.
#[derive(Debug)]
pub(in crate::upstream) struct Content {
    receiving: RecvStream,
    /// Whether only trailers may come now.
    data_ended: bool,
}

impl Content {
    fn new(receiving: RecvStream) -> Self {
        Self {
            receiving,
            data_ended: false,
        }
    }

    /// `Ready(None)` is the end of the stream; a reset of any kind before that is an error.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.receiving.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Whoever asks for content has room for it: the server may send as much again.
                    let released = self.receiving.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(released.map(|()| Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.receiving.poll_trailers(cx));
        Poll::Ready(
            trailers
                .map(|fields| fields.map(Frame::trailers))
                .transpose(),
        )
    }

    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.receiving.is_end_stream()
    }
}
