//! Errors of a whole server.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::config::ListenAddr;
use crate::config::certificate::Fault;

/// Why a server could not start, or did not end well.
#[derive(Debug)]
pub enum Error {
    /// An address could not be bound.
    Listen { addr: ListenAddr, source: io::Error },
    /// A socket that another process passed cannot be used.
    Inherited(String),
    /// A certificate, or another file of a listener, could not be used.
    Certificate(Fault),
    /// A thread or a runtime could not be made.
    Start(io::Error),
    /// A worker's thread panicked.
    WorkerDied { index: usize },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { addr, source } if source.kind() == io::ErrorKind::AddrInUse => {
                write!(f, "cannot listen on {addr}: another process already does")
            }
            Self::Listen { addr, source } => write!(f, "cannot listen on {addr}: {source}"),
            Self::Inherited(fault) => f.write_str(fault),
            Self::Certificate(fault) => fault.fmt(f),
            Self::Start(source) => write!(f, "cannot start a worker: {source}"),
            Self::WorkerDied { index } => write!(f, "worker {index} died"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Start(source) => Some(source),
            Self::Inherited(_) | Self::Certificate(_) | Self::WorkerDied { .. } => None,
        }
    }
}
