//! Limits of sizes, times and counts from the configuration, one type for each part that applies them.

use std::time::Duration;

use crate::config;
use crate::error::{Error, ErrorKind};

/// Limits of a pool's connections, and of the requests that wait for one.
#[derive(Clone, Debug)]
pub(super) struct PoolLimits {
    pub(super) connect: ConnectLimits,
    pub(super) idle_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) queue_timeout: Duration,
    pub(super) max_idle: usize,
    pub(super) max_waiting: usize,
    pub(super) head: HeadLimits,
}

impl PoolLimits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            connect: ConnectLimits::of(upstream),
            idle_timeout: upstream.idle_timeout,
            body_timeout: upstream.body_timeout,
            queue_timeout: upstream.queue_timeout,
            max_idle: upstream.max_idle,
            max_waiting: upstream.max_waiting,
            head: HeadLimits::of(upstream),
        }
    }
}

/// Deadlines of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectLimits {
    /// For the name's resolution and the socket's connection together.
    pub(super) connect: Duration,
    pub(super) tls: Duration,
}

impl ConnectLimits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            connect: upstream.connect_timeout,
            tls: upstream.tls_timeout,
        }
    }
}

/// Limits of the field section of a response, and of its trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadLimits {
    /// The status line and all fields together.
    pub(super) bytes: usize,
    /// Field lines.
    pub(super) fields: usize,
}

impl HeadLimits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            bytes: upstream.max_head,
            fields: upstream.max_fields,
        }
    }

    /// Fails with [`ErrorKind::ResponseHeadTooLarge`] where there are too many field lines.
    pub(super) fn check_fields(self, fields: usize) -> Result<(), Error> {
        match fields > self.fields {
            true => Err(Error::upstream(ErrorKind::ResponseHeadTooLarge).detail(
                "the upstream's response has more field lines than upstream.max_fields allows",
            )),
            false => Ok(()),
        }
    }
}

/// Limits of HTTP/2 connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Http2Limits {
    /// Requests on one connection at a time.
    pub(super) streams: usize,
    /// Response content in flight on one stream, in bytes.
    pub(super) stream_window: u32,
    pub(super) head: HeadLimits,
    /// The time from the open socket to the server's first frame.
    pub(super) first_frame: Duration,
}

impl Http2Limits {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            streams: upstream.http2.max_concurrent_streams,
            stream_window: upstream.http2.stream_window,
            head: HeadLimits::of(upstream),
            first_frame: upstream.connect_timeout,
        }
    }
}
