//! The signals that end the program, and those that make it read its configuration again or reopen its logs.

use std::future::{Future, poll_fn};
use std::io;
use std::process;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Completes when SIGTERM, SIGINT or SIGQUIT arrives; another one after it ends the process at once. Must be awaited
/// within a runtime that goes on while the gateway drains.
pub async fn end() {
    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::quit(),
    ];
    let signals: io::Result<Vec<_>> = kinds.into_iter().map(signal).collect();
    let mut signals = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "cannot wait for signals: only SIGKILL will end this process");
            return std::future::pending().await;
        }
    };
    any_of(&mut signals).await;
    tokio::spawn(async move {
        any_of(&mut signals).await;
        // The log's writer may not come to write it before the exit.
        eprintln!("bookend: a second signal came: requests in flight are cut off");
        process::exit(1);
    });
}

/// Completes when one of the signals arrives.
async fn any_of(signals: &mut [Signal]) {
    poll_fn(|cx| {
        let mut signals = signals.iter_mut();
        match signals.any(|signal| signal.poll_recv(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// Calls `act` at each signal of this kind; never completes. Signals are waited for from this call on, which must be within a
/// runtime.
pub fn at_each(
    kind: SignalKind,
    name: &'static str,
    mut act: impl FnMut(),
) -> impl Future<Output = ()> {
    let signals = signal(kind);
    async move {
        match signals {
            Ok(mut signals) => {
                while signals.recv().await.is_some() {
                    act();
                }
            }
            Err(error) => tracing::warn!(%error, "cannot wait for {name}: it will have no effect"),
        }
        std::future::pending().await
    }
}

/// Runs `task` until it is done, or until a signal asks for the end: then `None`.
pub async fn unless_ended<T>(task: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = task => Some(result),
        () = end() => None,
    }
}
