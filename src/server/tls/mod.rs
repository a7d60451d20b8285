//! TLS for clients.
//!
//! - `settings`: one version of the configuration and its files, made into the library's settings.
//! - `resolver`: which certificate a client gets.
//! - `listeners`: the settings of each listener, which a reload replaces.
//! - `files`: watches the files, and warns of certificates that expire.
//! - `issued`: certificates that come over ACME, and the challenges before them.
//! - `tickets`: the tickets by which clients resume their sessions.
//! - `handshake`: from a socket to an encrypted stream.

mod files;
mod handshake;
mod issued;
mod listeners;
mod resolver;
mod settings;
mod tickets;

pub(super) use self::files::watch;
pub(super) use self::handshake::{Accepted, Turns};
pub use self::issued::{Issued, IssuedCertificate, PublishedCertificate, Wanted};
pub use self::listeners::TlsListeners;
pub(super) use self::listeners::{PreparedTls, Secured, Tls};
pub use self::settings::InUse;
pub(super) use self::tickets::{Secret, TicketKeys};
