//! Clients that speak HTTP/2, and what they may cost.

mod abandoned;
mod floods;
mod frames;
