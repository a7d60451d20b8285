//! The HTTP/1.1 client: a connection, and the two engines that read and write it.

pub(super) mod connection;
mod driver;
mod hyper_engine;
pub(super) mod native_engine;
