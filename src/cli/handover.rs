//! Restarts without a gap: a successor gets the listening sockets of this process.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, Child, Command};
use std::thread;

use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

use super::service_manager;
use crate::server::{Handover, HandoverSocket, Successors, Takeover};

/// Tells the process before that this one serves. Returns whether this one has its place now.
pub async fn complete(takeover: Takeover) -> bool {
    in_thread(move || takeover.complete())
        .await
        .unwrap_or(false)
}

/// Listens for the next successor, in the place of the process before. Without it that successor can still be started by
/// SIGUSR2.
pub fn replace_socket(path: &Path) -> Option<HandoverSocket> {
    HandoverSocket::bind(path, true)
        .inspect_err(|error| tracing::error!(%error, "no successor can take over by --takeover"))
        .ok()
}

/// Hands over to successors that ask on `socket`, and to those that a signal of `starts` has this process start, one at a
/// time. Completes when one serves.
pub async fn served(
    handover: &Handover,
    socket: Option<&HandoverSocket>,
    starts: io::Result<Signal>,
) {
    let mut starts = starts
        .inspect_err(
            |error| tracing::warn!(%error, "cannot wait for SIGUSR2: it will have no effect"),
        )
        .ok();
    let successors = socket.map(HandoverSocket::successors).transpose();
    let successors = successors
        .inspect_err(|error| tracing::error!(%error, "no successor can take over by --takeover"))
        .ok()
        .flatten();
    loop {
        let is_served = tokio::select! {
            () = next_start(starts.as_mut()) => start(handover.clone()).await,
            (stream, process) = next_successor(successors.as_ref()) => {
                let handover = handover.clone();
                let adopt = move || adopted(process);
                let hand_over = move || match handover.to(stream, adopt) {
                    Ok(()) => true,
                    Err(error) => {
                        adopted(Some(process::id()));
                        tracing::error!(%error, "handover failed: this process goes on");
                        false
                    }
                };
                in_thread(hand_over).await.unwrap_or(false)
            }
        };
        if is_served {
            tracing::info!("handed over: the successor serves");
            socket.inspect(|socket| socket.give_up());
            return;
        }
    }
}

async fn next_start(starts: Option<&mut Signal>) {
    if let Some(starts) = starts
        && starts.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

async fn next_successor(successors: Option<&Successors>) -> (UnixStream, Option<u32>) {
    if let Some(successors) = successors {
        match successors.next().await {
            Ok(next) => return next,
            Err(error) => tracing::error!(%error, "no successor can take over by --takeover"),
        }
    }
    std::future::pending().await
}

/// Starts a successor, and hands over to it. Returns whether it serves.
async fn start(handover: Handover) -> bool {
    // The end of the first process of a PID namespace ends all others.
    if process::id() == 1 {
        tracing::error!(
            "SIGUSR2 has no effect in a container, which ends with this process: replace the container"
        );
        return false;
    }
    let started = spawn();
    let hand_over = move || {
        let (stream, mut child) = started?;
        let successor = child.id();
        tracing::info!(process = successor, "a successor is started");
        let Err(error) = handover.to(stream, || adopted(Some(successor))) else {
            return Ok(());
        };
        adopted(Some(process::id()));
        // One that is late must not come to serve. One that has ended keeps its status.
        let _ = child.kill();
        match child.wait() {
            Ok(status) => Err(io::Error::other(format!("{error} ({status})"))),
            Err(_) => Err(io::Error::other(error)),
        }
    };
    match in_thread(hand_over).await {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            tracing::error!(%error, "handover failed: this process goes on");
            false
        }
        None => false,
    }
}

/// Starts the program by the same command line, with one end of a connection as its standard input. What the command line
/// names is found anew: the program may have been replaced.
fn spawn() -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut arguments: Vec<_> = env::args_os().collect();
    if arguments.is_empty() {
        return Err(io::Error::other("this process does not know its own name"));
    }
    let program = arguments.remove(0);
    if arguments.ends_with(&TAKEOVER.map(Into::into)) {
        arguments.truncate(arguments.len() - TAKEOVER.len());
    }
    let child = Command::new(program)
        .args(arguments)
        .args(TAKEOVER)
        .stdin(OwnedFd::from(theirs))
        .spawn()?;
    // `theirs` is closed here: when the child ends, that is the end of the connection.
    Ok((ours, child))
}

/// The arguments that a successor has besides.
const TAKEOVER: [&str; 2] = ["--takeover", "-"];

/// The service manager is told which process the gateway is.
fn adopted(process: Option<u32>) {
    if let Some(process) = process {
        service_manager::main_process(process);
    }
}

/// Runs what blocks in a thread, for which the end of the program does not wait. `None` where there can be no thread.
async fn in_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let thread = thread::Builder::new().name("handover".to_owned());
    let started = thread.spawn(move || done.send(run()).is_ok());
    if let Err(error) = started {
        tracing::error!(%error, "cannot start a thread");
    }
    result.await.ok()
}
