//! Streams of lines: what comes is sent as it comes, until the client leaves or the admin API ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::sleep;

/// An empty line is sent after so long without another: a client that is gone is noticed by it.
const SILENCE: Duration = Duration::from_secs(15);

/// Where the lines of a stream come from.
pub(super) trait Source {
    /// Waits for the next ones, and returns them with their ends. Nothing is lost where the wait is given up.
    async fn next(&mut self) -> Bytes;
}

/// The content of an answer.
#[derive(Clone, Debug)]
pub(super) struct Lines<S> {
    source: S,
    open: watch::Receiver<()>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Begins,
    Goes,
    Ended,
}

impl<S: Source> Lines<S> {
    /// It ends when the sender of `open` is dropped.
    pub const fn new(source: S, open: watch::Receiver<()>) -> Self {
        Self {
            source,
            open,
            stage: Stage::Begins,
        }
    }

    /// The next lines; `None` where the stream has ended.
    pub async fn next(mut self) -> (Self, Option<Bytes>) {
        match self.stage {
            // Something has to be sent for the client to see that it has begun.
            Stage::Begins => {
                self.stage = Stage::Goes;
                return (self, Some(Bytes::from_static(b"\n")));
            }
            Stage::Goes => {}
            Stage::Ended => return (self, None),
        }
        let lines = tokio::select! {
            biased;
            lines = self.source.next() => lines,
            // Nothing is ever sent: it ends.
            _ = self.open.changed() => {
                self.stage = Stage::Ended;
                Bytes::from_static(b"{\"end\":\"the gateway stops\"}\n")
            }
            () = sleep(SILENCE) => Bytes::from_static(b"\n"),
        };
        (self, Some(lines))
    }
}
