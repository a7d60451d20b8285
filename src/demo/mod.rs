//! The embedded book API of `bookend demo`, and the tour of what the gateway does for it.
//!
//! The API is an origin like any other: it is reached over a socket and knows nothing of the gateway. It says of
//! each answer how long it may be reused (`Cache-Control`) and which version it is (`ETag`), and that is all that a
//! cache needs.

mod answer;
mod api;
mod library;
mod lines;
pub mod tour;

pub use api::{BookApi, Options, Seen};
