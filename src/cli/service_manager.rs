//! Notifies systemd of the state of this process (sd_notify(3), `Type=notify` and `Type=notify-reload`). Without
//! NOTIFY_SOCKET in the environment nothing is sent.

use std::io;

use sd_notify::NotifyState;

/// The gateway takes requests, or goes on with what a reload gave.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// A reload has begun; [`ready`] ends it. The time is what tells systemd which of several reloads this one is.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => failed(&error),
    }
}

/// The gateway is another process from now on.
pub fn main_process(process: u32) {
    send(&[NotifyState::MainPid(process)]);
}

/// The gateway has begun to shut down.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        failed(&error);
    }
}

fn failed(error: &io::Error) {
    tracing::warn!(%error, "cannot notify the service manager");
}
