//! The server, seen from outside: a toy service behind real sockets, and clients that write raw bytes.

mod abort;
mod acme;
mod admin;
mod deadlines;
mod drain;
mod harness;
mod http1;
mod http2;
mod limits;
mod listen;
mod parked;
mod proxy_protocol;
mod tls;
