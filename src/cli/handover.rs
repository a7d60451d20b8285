//! Restarts without a gap: a successor gets the listening sockets of this process.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{self, Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::oneshot;

use super::service_manager;
use crate::proxy::Gateway;
use crate::server::{Draining, Handover, HandoverSocket, Successors, Takeover};

/// Tells the process before that this one serves. Returns that process, which drains, where this one has its place now.
pub async fn complete(takeover: Takeover) -> Option<Draining> {
    in_thread(move || takeover.complete()).await.flatten()
}

/// Has `gateway` use its cache when the process before has ended. `None` where there can be no thread to wait in.
pub fn use_cache_after(before: Draining, gateway: Arc<Gateway>) -> Option<thread::JoinHandle<()>> {
    let wait = move || {
        before.wait();
        gateway.end_handover();
        tracing::info!("the process before has ended: the cache is used");
    };
    let thread = thread::Builder::new().name("handover".to_owned());
    let started = thread.spawn(wait);
    started
        .inspect_err(
            |error| tracing::error!(%error, "cannot start a thread: the cache stays unused"),
        )
        .ok()
}

/// Listens for the next successor, in the place of the process before. Without it that successor can still be started by
/// SIGUSR2.
pub fn replace_socket(path: &Path) -> Option<HandoverSocket> {
    HandoverSocket::bind(path, true)
        .inspect_err(|error| tracing::error!(%error, "no successor can take over by --takeover"))
        .ok()
}

/// Hands over to successors that ask on `socket`, and to those that a signal of `starts` has this process start, one at a
/// time. Completes when one serves, with the connection to it: its end tells that one that this process serves nobody any
/// more.
pub async fn served(
    handover: &Handover,
    gateway: &Arc<Gateway>,
    socket: Option<&HandoverSocket>,
    starts: io::Result<Signal>,
) -> UnixStream {
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
        let share = {
            let gateway = gateway.clone();
            move || gateway.begin_handover()
        };
        let successor = tokio::select! {
            Some(()) = async { starts.as_mut()?.recv().await } => {
                start(handover.clone(), share).await
            }
            (stream, process) = next_successor(successors.as_ref()) => {
                let handover = handover.clone();
                let adopt = move || adopted(process);
                let hand_over = move || {
                    let handed_over = handover.to(stream, share, adopt);
                    handed_over.map_err(|error| {
                        adopted(Some(process::id()));
                        error.to_string()
                    })
                };
                match in_thread(hand_over).await {
                    Some(handed_over) => handed_over.map_err(Some),
                    None => Err(None),
                }
            }
        };
        match successor {
            Ok(successor) => {
                tracing::info!("handed over: the successor serves");
                socket.inspect(|socket| socket.give_up());
                return successor;
            }
            Err(error) => {
                gateway.end_handover();
                if let Some(error) = error {
                    tracing::error!(error, "handover failed: this process goes on");
                }
            }
        }
    }
}

/// After an error of accepting.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_secs(1);

async fn next_successor(successors: Option<&Successors>) -> (UnixStream, Option<u32>) {
    let Some(successors) = successors else {
        return std::future::pending().await;
    };
    loop {
        match successors.next().await {
            Ok(next) => return next,
            // Such as a shortage of descriptors, which passes.
            Err(error) => tracing::error!(%error, "a successor could not ask for the sockets"),
        }
        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
    }
}

/// Starts a successor, and hands over to it. Returns the connection to it, if it serves.
///
/// # Errors
/// Why it does not; `None` where that has been told.
async fn start(
    handover: Handover,
    share: impl FnOnce() + Send + 'static,
) -> Result<UnixStream, Option<String>> {
    // The end of the first process of a PID namespace ends all others.
    if process::id() == 1 {
        tracing::error!(
            "SIGUSR2 has no effect in a container, which ends with this process: replace the container"
        );
        return Err(None);
    }
    let started = spawn();
    let hand_over = move || {
        let (stream, mut child) = started.map_err(|error| error.to_string())?;
        let successor = child.id();
        tracing::info!(process = successor, "a successor is started");
        let handed_over = handover.to(stream, share, || adopted(Some(successor)));
        let error = match handed_over {
            Ok(successor) => return Ok(successor),
            Err(error) => error,
        };
        adopted(Some(process::id()));
        // One that is late must not come to serve. One that has ended keeps its status.
        let _ = child.kill();
        Err(match child.wait() {
            Ok(status) => format!("{error} ({status})"),
            Err(_) => error.to_string(),
        })
    };
    let handed_over = in_thread(hand_over).await.ok_or(None)?;
    handed_over.map_err(Some)
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
