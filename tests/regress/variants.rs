//! Vary, validators, and which stored response answers a request.

mod connection;
