//! Why there is no answer.

use std::fmt;

use redis::RedisError;

use crate::config::valkey_servers::Address;

/// Why a call has no answer. Whether the server has carried it out is not known then.
#[derive(Debug)]
pub enum Error {
    /// There is no connection.
    Away,
    /// None came in time.
    Late,
    /// The connection was lost, or the server has refused.
    Server(RedisError),
    /// This server cannot be connected to, or must not be used.
    Unfit { at: Address, why: String },
    /// It is not known which server to connect to: a sentence.
    Unknown(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away => f.write_str("there is no connection to the Valkey server"),
            Self::Late => f.write_str("the Valkey server does not answer in time"),
            Self::Server(error) => write!(f, "the Valkey server: {error}"),
            Self::Unfit { at, why } => write!(f, "the Valkey server {at} {why}"),
            Self::Unknown(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Server(error) => Some(error),
            Self::Away | Self::Late | Self::Unfit { .. } | Self::Unknown(_) => None,
        }
    }
}
