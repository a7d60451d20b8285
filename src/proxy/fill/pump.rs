//! From the connection to the readers and into the store: a body on its way.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::header::VARY;
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::{FillTask, Permit};
use crate::cache::body::{Window, Writer};
use crate::cache::content::Content;
use crate::cache::head::Head;
use crate::cache::outcome::{NotCommitted, Outcome, Superseded};
use crate::cache::resource::Unshared;
use crate::clock::Now;
use crate::error::{Error, Side};
use crate::upstream::UpstreamBody;

/// Beside `reader_timeout`, others may wait for a reader of an unstored body for this part of the time that the body has
/// taken so far, whichever way the waiting is spread. One that gets level with the others starts anew.
const PATIENCE_PART: u32 = 16;

/// How often it is looked who waits for whom, while the window is full.
const LOOK: Duration = Duration::from_millis(10);

/// Brings a body from its connection to its readers and into the store.
pub struct Pump<'a> {
    pub task: &'a mut FillTask,
    head: Arc<Head>,
    /// `Some` while the response may be stored and others may join. It drops before the writer does.
    permit: Option<Permit>,
    writer: Writer,
    trailers: Option<HeaderMap>,
    /// Since when the body only passes through.
    passing: Option<Now>,
}

impl<'a> Pump<'a> {
    pub fn new(
        task: &'a mut FillTask,
        permit: Permit,
        head: Arc<Head>,
        writer: Writer,
        trailers: Option<HeaderMap>,
    ) -> Self {
        Self {
            task,
            head,
            permit: Some(permit),
            writer,
            trailers,
            passing: None,
        }
    }

    /// Carries the rest of the body to its end.
    pub async fn run(mut self, mut body: UpstreamBody) {
        while !body.is_end_stream() {
            self.wait_for_room().await;
            match body.frame().await {
                None => break,
                Some(Err(error)) => return self.fail(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if body.is_end_stream() => self.append_last(&data),
                    Ok(data) => self.push(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        self.finish(&body);
    }

    /// The body broke off: nothing is stored, and its readers see it.
    pub fn fail(mut self, error: Error) {
        if error.side() == Side::Upstream {
            self.task.has_failed();
        }
        if self.permit.is_some() {
            self.note_end(Some("broken-off"));
        }
        drop(self.permit.take());
        self.writer.fail(error);
    }

    fn finish(mut self, body: &UpstreamBody) {
        if !self.task.has_ended(body) {
            self.stop_storing("unverified-end");
        }
        // What cannot be sealed is not stored: the permit drops.
        if let Some(permit) = self.permit
            && let Some(content) = self.writer.seal()
        {
            let head = Arc::unwrap_or_clone(self.head);
            let status = head.status;
            let (_, refused) = self.task.commit(permit, head, Content::Complete(content));
            let worker = &self.task.worker;
            worker.note_end(
                self.task.fill.key.hash(),
                status,
                refused.map(NotCommitted::token),
            );
            if let Some(why) = refused {
                tracing::debug!(
                    why = why.token(),
                    key = self.task.fill.key.as_str(),
                    "a response was not stored"
                );
            }
        }
        self.writer.end(self.trailers);
    }

    /// Hands `data` to the readers, and to the store while it takes it.
    pub fn push(&mut self, data: &[u8]) {
        self.check_size(data);
        if self.writer.push(data).is_err() {
            self.stop_storing("over-budget");
            // Without the budget's word nothing is refused any more.
            let _ = self.writer.push(data);
        }
    }

    fn append_last(&mut self, data: &[u8]) {
        self.check_size(data);
        if self.writer.append(data).is_err() {
            self.stop_storing("over-budget");
            let _ = self.writer.append(data);
        }
    }

    fn check_size(&mut self, data: &[u8]) {
        let received = self.writer.received() + data.len() as u64;
        if received > self.task.route.max_stored_body
            && let Some(permit) = self.permit.take()
        {
            // The next request need not try again, nor wait for others.
            let vary = self.head.fields.only(&[VARY]);
            let received = self.task.worker.gateway.clock.now();
            let marker = self.task.marker(&vary, received, Unshared::TooLarge);
            let outcome = Outcome::Uncacheable {
                effect: Superseded::All(marker),
                received,
                is_for_leader_only: false,
            };
            permit.finish(outcome, &self.task.route);
            self.note_end(Some(Unshared::TooLarge.token()));
            self.pass_on();
        }
    }

    fn note_end(&self, why: Option<&'static str>) {
        let hash = self.task.fill.key.hash();
        self.task.worker.note_end(hash, self.head.status, why);
    }

    /// `why` is the token of the reason.
    fn stop_storing(&mut self, why: &'static str) {
        if let Some(permit) = self.permit.take() {
            drop(permit);
            self.note_end(Some(why));
            self.pass_on();
        }
    }

    /// From here on the body only passes through: nobody may join late, and a window bounds what is kept.
    fn pass_on(&mut self) {
        let cache = &self.task.epoch.settings.config.cache;
        let window = Window {
            each: cache.window,
            all: cache.windows,
        };
        self.writer.stop_storing(window);
        self.passing = Some(self.task.worker.gateway.clock.now());
    }

    /// Waits until the slowest reader leaves room, or is cut off for holding up the others.
    async fn wait_for_room(&mut self) {
        loop {
            let writer = &mut self.writer;
            if poll_fn(|cx| Poll::Ready(writer.poll_room(cx).is_ready())).await {
                return;
            }
            let held_up = writer.slow_readers_hold_up_others();
            let clock = &self.task.worker.gateway.clock;
            let begun = clock.now();
            let room = poll_fn(|cx| writer.poll_room(cx));
            let _ = tokio::time::timeout(LOOK, room).await;
            if held_up {
                let now = clock.now().mono;
                let passing = self.passing.unwrap_or(begun).mono;
                let patience = self.task.epoch.settings.config.cache.reader_timeout;
                let most = patience + now.since(passing) / PATIENCE_PART;
                self.writer.charge_slow_readers(now.since(begun.mono), most);
            }
        }
    }
}
