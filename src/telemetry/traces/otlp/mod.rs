//! Sends spans to a collector by OTLP over HTTP, in protobuf: a thread with a runtime of its own, which takes them from a
//! bounded queue.

mod collector;
mod encode;
pub mod message;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

use self::collector::{Collector, Outcome};
use self::message::Resource;
use super::recorder::{Recorder, SpanCounters};
use super::span::{Instance, Span};
use crate::clock::{Clock, timer_now};
use crate::config::traces::Export;
use crate::error::Error;

/// Spans of one request.
const MAX_BATCH: usize = 512;

/// How often spans are sent that the collector does not take.
const MAX_ATTEMPTS: u32 = 10;

/// Before the second attempt; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a collector may ask to be left alone.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Starts the thread.
pub(super) fn start(
    export: &Export,
    instance: Instance<'_>,
    counters: &Arc<SpanCounters>,
    clock: &Clock,
) -> Result<Recorder, Error> {
    let unusable = |error| {
        let error = Error::internal().because(error);
        error.detail("the collector of [traces] cannot be used")
    };
    let (queue, spans) = tokio::sync::mpsc::channel(export.queue);
    let (closing, is_closing) = watch::channel(false);
    let (ends, ended) = mpsc::channel();
    let service = export.service.as_deref().unwrap_or(instance.name);
    let exporter = Exporter {
        spans,
        closing: is_closing,
        is_closing: false,
        collector: Collector::new(export, clock).map_err(unusable)?,
        resource: encode::resource(service, instance),
        endpoint: export.endpoint.to_string(),
        interval: export.interval,
        is_failing: false,
        counters: counters.clone(),
        clock: clock.clone(),
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unusable(error.into()))?;
    let run = move || {
        runtime.block_on(exporter.run());
        drop(ends);
    };
    let thread = thread::Builder::new().name("traces".to_owned()).spawn(run);
    thread.map_err(|error| unusable(error.into()))?;
    let (counters, clock) = (counters.clone(), clock.clone());
    Ok(Recorder::new(queue, counters, clock, closing, ended))
}

struct Exporter {
    spans: Receiver<Box<Span>>,
    closing: watch::Receiver<bool>,
    /// What is in the queue is sent, and nothing else.
    is_closing: bool,
    collector: Collector,
    resource: Resource,
    endpoint: String,
    interval: Duration,
    /// The collector has not taken the latest ones, which has been logged.
    is_failing: bool,
    counters: Arc<SpanCounters>,
    clock: Clock,
}

impl Exporter {
    /// Runs until there is nobody any more who records spans, or all is to end.
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            let is_taken = self.deliver(&batch).await;
            if self.is_closing && !is_taken {
                break;
            }
        }
        self.spans.close();
        let mut left = 0;
        while self.spans.try_recv().is_ok() {
            left += 1;
        }
        add(&self.counters.failed, left);
    }

    /// The next spans: as many as there may be, or those that have come in the interval since the first.
    async fn gather(&mut self) -> Option<Vec<Box<Span>>> {
        let mut batch = Vec::new();
        let mut until = timer_now();
        while batch.len() < MAX_BATCH {
            tokio::select! {
                biased;
                span = self.spans.recv() => match span {
                    None => break,
                    Some(span) => {
                        if batch.is_empty() {
                            until = timer_now() + self.interval;
                        }
                        batch.push(span);
                    }
                },
                () = told_to_close(&mut self.closing), if !self.is_closing => self.close(),
                () = sleep_until(until), if !batch.is_empty() => break,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn close(&mut self) {
        self.is_closing = true;
        self.spans.close();
    }

    /// Sends them until the collector takes them, or refuses them, or has had enough time. Whether it has taken them.
    async fn deliver(&mut self, batch: &[Box<Span>]) -> bool {
        let content = Bytes::from(encode::request(batch, &self.resource, &self.clock));
        let count = batch.len() as u64;
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MAX_ATTEMPTS {
            match self.collector.send(content.clone()).await {
                Outcome::Taken { rejected, why } => {
                    let rejected = rejected.min(count);
                    add(&self.counters.exported, count - rejected);
                    add(&self.counters.failed, rejected);
                    match rejected {
                        0 if std::mem::take(&mut self.is_failing) => {
                            tracing::info!(collector = self.endpoint, "traces are exported again");
                        }
                        0 => {}
                        _ => self.failed(&format!("it rejected {rejected} spans: {why}")),
                    }
                    return true;
                }
                Outcome::Refused(why) => {
                    self.failed(&why);
                    break;
                }
                Outcome::Later(wait, why) => {
                    self.failed(&why);
                    if self.is_closing || attempt == MAX_ATTEMPTS {
                        break;
                    }
                    let wait = wait.map_or(pause, |wait| wait.min(LONGEST_RETRY_AFTER));
                    pause = (2 * pause).min(LONGEST_PAUSE);
                    tokio::select! {
                        () = sleep(wait) => {}
                        // One attempt more, at once.
                        () = told_to_close(&mut self.closing) => self.close(),
                    }
                }
            }
        }
        add(&self.counters.failed, count);
        false
    }

    /// Logged once, until the collector takes spans again.
    fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                collector = self.endpoint,
                why,
                "traces cannot be exported: spans wait, and are dropped when too many do"
            );
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Done when all is to end, or nobody records spans any more. Cancel safe.
async fn told_to_close(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}
