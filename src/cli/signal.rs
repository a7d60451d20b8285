//! The signals that end the program, and those that have it read its configuration again or reopen its logs.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Done when SIGTERM, SIGINT or SIGQUIT comes. To be awaited within a runtime.
pub async fn end() {
    if let Err(error) = first_of_both().await {
        tracing::warn!(%error, "cannot wait for signals: only SIGKILL will end this process");
        std::future::pending::<()>().await;
    }
}

async fn first_of_both() -> io::Result<()> {
    let (mut terminate, mut interrupt, mut quit) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = quit.recv() => {}
    }
    Ok(())
}

/// Calls `reload` each time SIGHUP comes, and `reopen` each time SIGUSR1 does; never done. To be awaited within a
/// runtime.
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

/// Does `task` until it is done or a signal comes; `None` then.
pub async fn unless_ended<T>(task: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = task => Some(result),
        () = end() => None,
    }
}
