//! Cache-Control as typed directives (RFC 9111 §5.2), with its targeted relatives (RFC 9213) and Pragma (§5.4).

mod directive;
mod request;
mod response;
mod targeted;

pub use self::request::{MaxStale, RequestDirectives};
pub use self::response::{ResponseDirectives, Scoped};

#[cfg(test)]
mod tests;
