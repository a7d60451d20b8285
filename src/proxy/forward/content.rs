//! The content of requests on its way from the client: no more than may come, no slower than it has to, and no longer
//! than the whole exchange may last.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::Instant;

use crate::clock::{timer_now, within};
use crate::error::{Error, ErrorKind};
use crate::proxy::forward::fields;
use crate::proxy::long_lived::Lasting;
use crate::proxy::request::content::RequestContent;
use crate::proxy::request::{Request, Traits};
use crate::semantics::media_type::is_endless;
use crate::upstream::{Expectation, RequestBody, RequestStream, client_failure};

/// The content as it comes from the client, to be passed on.
///
/// # Errors
/// When it says itself that it is too large.
pub fn to_pass_on(request: &mut Request, until: Option<Instant>) -> Result<RequestBody, Error> {
    let Some(mut content) = take(request, until) else {
        return Ok(RequestBody::Empty);
    };
    content.lasting = Lasting::of(request);
    let config = &request.epoch.settings.config;
    let max_body = request.route.limits.max_body;
    let stream = match max_body.unwrap_or(config.server.max_body) {
        None => RequestStream::new(content),
        Some(limit) if content.size_hint().lower() > limit => {
            return Err(Error::downstream(ErrorKind::ContentTooLarge));
        }
        Some(limit) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            RequestStream::new(Limited::new(content, limit).map_err(failure))
        }
    };
    let stream = stream.with_stall_timeout(config.server.body_timeout);
    Ok(RequestBody::Stream(
        match fields::waits_to_continue(request) {
            true => stream.expecting_continue(Expectation::default()),
            false => stream,
        },
    ))
}

/// All of the content, if it has at most `limit` bytes.
///
/// # Errors
/// When it has more, or does not come.
pub async fn read(
    request: &mut Request,
    until: Option<Instant>,
    limit: usize,
) -> Result<Bytes, Error> {
    let stall = request.epoch.settings.config.server.body_timeout;
    let Some(content) = take(request, until) else {
        return Ok(Bytes::new());
    };
    let mut limited = Limited::new(content, limit);
    let mut octets = Vec::new();
    loop {
        let frame = within(stall, pin!(limited.frame()))
            .await
            .map_err(|_elapsed| Error::downstream(ErrorKind::RequestBodyTimeout))?;
        match frame {
            Some(Ok(frame)) => octets.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => return Err(failure(error)),
            None => return Ok(octets.into()),
        }
    }
}

fn take(request: &mut Request, until: Option<Instant>) -> Option<Paced<RequestContent>> {
    let has_content = request.traits.any(Traits::CONTENT);
    let content = request.content.take().filter(|_| has_content)?;
    let server = &request.epoch.settings.config.server;
    let rate = request.route.min_body_rate.unwrap_or(server.min_body_rate);
    // A stream moves when there is something to tell.
    let rate = rate.filter(|_| !is_endless(request.headers()));
    Some(Paced {
        body: content,
        pace: rate.map(|rate| Pace::new(rate, server.body_timeout)),
        until,
        lasting: None,
        is_stream: request.parts.version == Version::HTTP_2,
    })
}

fn failure(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if error.is::<LengthLimitError>() => {
            Error::downstream(ErrorKind::ContentTooLarge).because(error)
        }
        Err(error) => client_failure(error),
    }
}

/// Content that has to keep up.
struct Paced<B> {
    body: B,
    /// `None` where any pace will do.
    pace: Option<Pace>,
    /// The end of the whole exchange's time.
    until: Option<Instant>,
    /// The place among long-lived connections, for content that may hold one.
    lasting: Option<Lasting>,
    /// Whether it is HTTP/2, where the end is a stream's.
    is_stream: bool,
}

impl<B> Body for Paced<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(lasting) = &mut this.lasting
            && let Poll::Ready(error) = lasting.poll_over(cx)
        {
            return Poll::Ready(Some(Err(error.into())));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(pace) = &mut this.pace
        {
            pace.waits(timer_now());
        }
        // Both are looked at when something comes: that nothing does has a deadline of its own.
        let Some(frame) = ready!(polled).transpose().map_err(Into::into)? else {
            // hyper takes a reset with NO_ERROR for an end, which it is for a response only (RFC 9113 §8.1).
            this.lasting = None;
            let is_cut = this.is_stream && !this.body.is_end_stream();
            let error = || Error::downstream(ErrorKind::ClientGone).into();
            return Poll::Ready(is_cut.then(|| Err(error())));
        };
        let overdue = |until: Instant| timer_now() >= until;
        if this.until.is_some_and(overdue) {
            let error = Error::downstream(ErrorKind::ExchangeTimeout);
            return Poll::Ready(Some(Err(error.into())));
        }
        if let (Some(pace), Some(data)) = (&mut this.pace, frame.data_ref())
            && !pace.keeps_up(data.len() as u64, timer_now)
        {
            let error = Error::downstream(ErrorKind::RequestBodyTimeout)
                .detail("the request content came too slowly");
            return Poll::Ready(Some(Err(error.into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// So much longer than its deadline nothing is waited for while the process runs.
const STOPPED: Duration = Duration::from_secs(3);

/// How fast content comes, in the time that it is waited for: what waits for the upstream is not late.
#[derive(Debug)]
struct Pace {
    /// Bytes a second.
    rate: u64,
    grace: Duration,
    received: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    fn new(rate: u64, grace: Duration) -> Self {
        Self {
            rate: rate.max(1),
            grace,
            received: 0,
            waited: Duration::ZERO,
            since: None,
        }
    }

    fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether all that has come with these `bytes` came in the time that there is for it.
    fn keeps_up(&mut self, bytes: u64, now: impl FnOnce() -> Instant) -> bool {
        self.received = self.received.saturating_add(bytes);
        if let Some(since) = self.since.take() {
            let waited = now().saturating_duration_since(since);
            // No client is waited for much longer than its grace: the process was stopped for the rest of the time.
            self.waited = match waited > self.grace.saturating_add(STOPPED) {
                true => self.waited,
                false => self.waited.saturating_add(waited.min(self.grace)),
            };
        }
        let earned = Duration::from_secs(self.received / self.rate);
        self.waited <= self.grace.saturating_add(earned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_its_grace_and_a_second_for_each_of_so_many_bytes() {
        let start = timer_now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(100, Duration::from_secs(30));
        // A time of its own is none of the client's.
        assert!(pace.keeps_up(1, || at(1_000)));
        pace.waits(at(1_000));
        pace.waits(at(1_020));
        assert!(pace.keeps_up(98, || at(1_030)), "30 s for 99 bytes");
        pace.waits(at(2_000));
        assert!(pace.keeps_up(1, || at(2_001)), "31 s for 100 bytes");
        pace.waits(at(3_000));
        assert!(!pace.keeps_up(99, || at(3_001)), "32 s for 199 bytes");
        let mut stopped = Pace::new(100, Duration::from_secs(30));
        stopped.waits(at(1_000));
        assert!(stopped.keeps_up(1, || at(1_100)), "the process was stopped");
        stopped.waits(at(2_000));
        assert!(stopped.keeps_up(1, || at(2_032)), "30 s are counted");
        stopped.waits(at(3_000));
        assert!(!stopped.keeps_up(1, || at(3_001)), "31 s for 3 bytes");
    }
}
