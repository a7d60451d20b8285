//! The HTTP/2 client: a connection that many requests of a worker share, each on a stream of it.

mod connection;
mod keep_alive;
mod stream;

pub(super) use self::connection::Http2Connection;
pub(super) use self::stream::{Content, Stream};
