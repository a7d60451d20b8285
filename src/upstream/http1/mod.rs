//! The HTTP/1.1 client: a connection (`connection`), and the engine that reads and writes it: the native one for requests
//! without content (`native_engine`), or hyper (`hyper_engine`), whose task or caller drives the socket (`driver`).

pub(super) mod connection;
mod driver;
mod hyper_engine;
pub(super) mod native_engine;
