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

use super::connection::Http2Connection;
use crate::error::{Error, ErrorKind};
use crate::upstream::deadline::{self, Deadline};
use crate::upstream::errors;
use crate::upstream::interim::OnInterim;
use crate::upstream::names::address::Address;
use crate::upstream::outcome::{Resend, Unanswered};
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::request_head::into_http2;
use crate::upstream::response_deadline::{head_within, poll_overdue};

/// Dropped before the response's end, it resets the stream.
#[derive(Debug)]
pub(in crate::upstream) struct Stream {
    slot: Rc<Slot>,
    deadline: Deadline,
    upload: Option<Upload>,
    /// Sends the content; aborted when the stream is dropped.
    upload_task: Option<JoinHandle<()>>,
    reused: bool,
    /// Whether its request was the first that the server got on the connection.
    first: bool,
}

/// Counts as a stream of the connection, for as long as either direction goes on.
#[derive(Debug)]
struct Slot {
    connection: Rc<Http2Connection>,
    /// When the latest part of the request was handed to the connection.
    written: Cell<Instant>,
}

impl Stream {
    /// A stream for one request.
    pub(in crate::upstream) fn open(connection: &Rc<Http2Connection>) -> Self {
        Self {
            reused: connection.begin_stream(),
            slot: Rc::new(Slot {
                connection: connection.clone(),
                written: Cell::new(deadline::timer_now()),
            }),
            deadline: Deadline::default(),
            upload: None,
            upload_task: None,
            first: false,
        }
    }

    /// Where the connection leads.
    pub(in crate::upstream) fn address(&self) -> Option<&Address> {
        self.slot.connection.address()
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
        let on_interim = OnInterim::of(&request);
        let response = self.send_request(request, scheme).await?;
        let slot = &self.slot;
        let written = || slot.written.get();
        match head_within(
            timeout,
            final_response(response, on_interim),
            &mut self.deadline,
            written,
            upload.as_ref(),
        )
        .await
        {
            Some(Ok(Some(response))) => {
                let fields = response.headers().len();
                slot.connection
                    .head
                    .check_fields(fields)
                    .map_err(not_to_resend)?;
                Ok(response.map(Content::new))
            }
            Some(Ok(None)) => {
                let error = Error::upstream(ErrorKind::ResponseProtocol);
                Err(not_to_resend(
                    error.detail("the upstream switched protocols within HTTP/2"),
                ))
            }
            Some(Err(error)) => Err(Unanswered {
                unsent: None,
                resend: errors::resend_after_stream_error(&error),
                error: errors::of_stream(error, upload.as_ref()),
            }),
            None => {
                slot.connection.mark_suspect();
                Err(not_to_resend(Error::upstream(ErrorKind::ResponseTimeout)))
            }
        }
    }

    /// Sends the head, and starts the task that sends the content, if there is any.
    async fn send_request(
        &mut self,
        request: Request<RequestBody>,
        scheme: &'static str,
    ) -> Result<ResponseFuture, Unanswered> {
        let upload = request.body().upload();
        let mut sender = match self.slot.connection.sender.clone().ready().await {
            Ok(sender) => sender,
            Err(error) => {
                return Err(Unanswered {
                    error: errors::of_stream(error, None),
                    unsent: Some(request),
                    resend: Resend::Always,
                });
            }
        };
        let (head, body) = into_http2(request, scheme).map_err(not_to_resend)?;
        let end = body.is_end_stream();
        let (response, sending) = sender.send_request(head, end).map_err(|error| {
            not_to_resend(Error::downstream(ErrorKind::BadRequest).because(error))
        })?;
        drop(sender);
        // RFC 9113 §5.1.1
        self.first = response.stream_id().as_u32() == 1;
        self.slot.written.set(deadline::timer_now());
        if !end {
            self.upload = upload;
            self.upload_task = Some(spawn_local(send_content(body, sending, self.slot.clone())));
        }
        Ok(response)
    }

    /// The response has stalled.
    pub(in crate::upstream) fn mark_suspect(&self) {
        self.slot.connection.mark_suspect();
    }

    /// The response is complete. What is left of the request's content is still sent, unless the server takes nothing of
    /// it for `stall`.
    pub(in crate::upstream) fn finish(mut self, stall: Duration) {
        let Some(mut upload_task) = self
            .upload_task
            .take()
            .filter(|upload_task| !upload_task.is_finished())
        else {
            return;
        };
        let (slot, upload) = (self.slot.clone(), self.upload.take());
        let mut deadline = std::mem::take(&mut self.deadline);
        deadline.arm(stall);
        spawn_local(async move {
            poll_fn(|cx| {
                if Pin::new(&mut upload_task).poll(cx).is_ready() {
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
            upload_task.abort();
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(upload_task) = self.upload_task.take() {
            upload_task.abort();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.end_stream();
    }
}

/// Waits for the final response; interim ones go to `on_interim` as they come. `None` for one that HTTP/2 does not have
/// (RFC 9113 §8.6).
async fn final_response(
    mut answer: ResponseFuture,
    on_interim: Option<OnInterim>,
) -> Result<Option<Response<RecvStream>>, h2::Error> {
    while let Some(interim) = poll_fn(|cx| answer.poll_informational(cx)).await {
        let interim = interim?;
        if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(None);
        }
        if let Some(on_interim) = &on_interim {
            on_interim.call(interim.status(), interim.headers());
        }
    }
    answer.await.map(Some)
}

/// A failure that another attempt would not change.
fn not_to_resend(error: Error) -> Unanswered {
    Unanswered {
        error,
        unsent: None,
        resend: Resend::Never,
    }
}

/// Sends a request's content as fast as the server takes it. Content that breaks off resets the stream.
async fn send_content(body: RequestBody, mut sending: SendStream<Bytes>, slot: Rc<Slot>) {
    let mut body = pin!(body);
    loop {
        let next = poll_fn(|cx| {
            if sending.poll_reset(cx).is_ready() {
                // The server wants no more of it.
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
                if !send_data(&mut sending, data, last, &slot).await || last {
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

/// Sends `data` as fast as the server takes it. Returns whether the stream has taken all of it.
async fn send_data(
    sending: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
    slot: &Slot,
) -> bool {
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
                    // The reader has room for more: the server may send as much again.
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
