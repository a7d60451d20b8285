//! The signals that end the program, and those that make it read its configuration again or reopen its logs.

use std::future::Future;
use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Completes when SIGTERM, SIGINT or SIGQUIT arrives; another one after it ends the process at once. Must be awaited
/// within a runtime that goes on while the gateway drains.
pub async fn end() {
    let mut signals = match EndSignals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "cannot wait for signals: only SIGKILL will end this process");
            return std::future::pending().await;
        }
    };
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        // Not by the log, whose writer is not waited for.
        eprintln!("bookend: a second signal came: requests in flight are cut off");
        process::exit(1);
    });
}

/// The three signals that ask for an end.
struct EndSignals([Signal; 3]);

impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::quit())?,
        ]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// Calls `reload` at each SIGHUP and `reopen` at each SIGUSR1; never completes. Must be awaited within a runtime.
pub async fn at_each(reload: impl FnMut(), reopen: impl FnMut()) {
    tokio::join!(
        at_each_of(SignalKind::hangup(), "SIGHUP", reload),
        at_each_of(SignalKind::user_defined1(), "SIGUSR1", reopen)
    );
}

async fn at_each_of(kind: SignalKind, name: &str, mut act: impl FnMut()) {
    match signal(kind) {
        Ok(mut signals) => {
            while signals.recv().await.is_some() {
                act();
            }
        }
        Err(error) => tracing::warn!(%error, "cannot wait for {name}: it will have no effect"),
    }
    std::future::pending().await
}

/// Runs `task` until it is done, or until a signal asks for the end: then `None`.
pub async fn unless_ended<T>(task: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = task => Some(result),
        () = end() => None,
    }
}
