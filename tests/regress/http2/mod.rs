//! Clients that speak HTTP/2, and what they may cost.

mod abandoned;
mod api;
mod descriptors;
mod floods;
pub mod frames;
mod logs;
mod malformed;
pub mod program;
mod refused;
mod remembered;
mod trailers;
