//! The signals that end the program, and the one that has it read its configuration again.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Done when SIGTERM or SIGINT comes. To be awaited within a runtime.
pub async fn end() {
    if let Err(error) = first_of_both().await {
        tracing::warn!(%error, "cannot wait for signals: only SIGKILL will end this process");
        std::future::pending::<()>().await;
    }
}

async fn first_of_both() -> io::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Calls `reload` each time SIGHUP comes; never done. To be awaited within a runtime.
pub async fn at_each_hangup(mut reload: impl FnMut()) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                reload();
            }
        }
        Err(error) => tracing::warn!(%error, "cannot wait for SIGHUP: nothing will be reloaded"),
    }
    std::future::pending().await
}

/// Does `task` until it is done or a signal comes; `None` then.
pub async fn unless_ended<T>(task: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = task => Some(result),
        () = end() => None,
    }
}
