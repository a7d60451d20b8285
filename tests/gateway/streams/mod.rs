//! Streams of all kinds: upgrades, trailers, interim responses, events without end, uploads, HTTP/2 towards the API.

mod api;
mod endless;
mod grpc;
mod http2;
mod resets;
mod upgrades;
