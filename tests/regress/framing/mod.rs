//! Where one HTTP/1 message ends and the next begins, on a client's connection.

mod chunked;
mod early;
mod recorder;
mod responses;
mod sequence;
