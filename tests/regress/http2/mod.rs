//! Clients that speak HTTP/2, and what they may cost.

mod abandoned;
mod descriptors;
mod floods;
mod frames;
mod logs;
mod malformed;
mod program;
