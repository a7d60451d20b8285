//! Clients that speak HTTP/2, and what they may cost.
