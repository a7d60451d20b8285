//! The embedded book API of `bookend demo`, and a tour that shows how the gateway serves it.
//!
//! The API is an origin like any other: it is reached over a socket and knows nothing of the gateway. Its responses have
//! a lifetime (`Cache-Control`) and a version (`ETag`), which is all that a cache needs.

mod answer;
mod api;
mod certificate;
mod folder;
mod library;
mod lines;
pub mod tour;

pub use api::{BookApi, Options, Seen};
pub use certificate::TemporaryCertificate;
pub use folder::TemporaryFolder;
