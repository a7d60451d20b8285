//! How the servers of the Valkey or Redis tier are reached: one server, one that Sentinels name, or a cluster; with a user and a
//! password, with TLS. What is written is checked as a whole. A password appears neither in `Debug` nor in a fault.

mod url;

use std::fmt;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use self::url::Url;
pub use self::url::{Address, Login, Password};
use super::certificate::{self, Certificate};

/// The port of a server, and of a Sentinel, where a URL has none.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26_379;

/// The settings as the operator has written them. The type has no `Debug`, which would show passwords of URLs.
#[derive(Clone, Default)]
pub struct Written {
    /// `redis://[[user]:password@]host[:port][/database]`, `rediss://…` with TLS, the same as `valkey://` and `valkeys://`, or
    /// `unix:///path`. One of a server, those of all Sentinels, or some of a cluster's nodes.
    pub urls: Vec<String>,
    /// The name by which Sentinels know the primary.
    pub sentinel: Option<String>,
    pub is_cluster: bool,
    /// Of the servers that hold data. Those in a URL are of the server that the URL names: a Sentinel, where they name the primary.
    pub user: Option<String>,
    pub password: Option<Password>,
    /// Certificates (PEM) of the authorities that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The gateway's own certificate, where servers ask for one.
    pub certificate: Option<Certificate>,
    /// The name that certificates must be for, instead of the host of each server.
    pub tls_name: Option<String>,
}

/// How the servers are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    pub arrangement: Arrangement,
    /// Of the servers that hold data.
    pub login: Login,
    pub database: u32,
    /// `None` where the URLs do not ask for TLS.
    pub tls: Option<Tls>,
}

/// Which server has the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// This one.
    Single(Address),
    /// The primary that Sentinels name.
    Sentinel {
        /// Their name for it.
        name: String,
        /// All of them, at least one.
        sentinels: Vec<Address>,
        login: Login,
    },
    /// For each hash slot another one. Some of the nodes, at least one: they name the others.
    Cluster(Vec<Address>),
}

/// TLS to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// As [`Written::ca_file`]; read for each connection, as those of `certificate` are.
    pub ca_file: Option<PathBuf>,
    pub certificate: Option<Certificate>,
    pub name: Option<ServerName<'static>>,
}

/// What of [`Written`] is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The URL with this index.
    Url(usize),
    /// All of them.
    Urls,
    Sentinel,
    Cluster,
    User,
    Password,
    CaFile,
    Certificate,
    TlsName,
}

/// A mistake. `what` follows the name of the part, as "is not a URL; …" does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub part: Part,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Url(index) => write!(f, "URL {} {}", index + 1, self.what),
            Part::Urls => write!(f, "the list of URLs {}", self.what),
            Part::Sentinel => write!(f, "the Sentinels' name for the primary {}", self.what),
            Part::Cluster => write!(f, "a cluster {}", self.what),
            Part::User => write!(f, "the user {}", self.what),
            Part::Password => write!(f, "the password {}", self.what),
            Part::CaFile => write!(f, "the file of authorities {}", self.what),
            Part::Certificate => write!(f, "the gateway's certificate {}", self.what),
            Part::TlsName => write!(f, "the name of the servers' certificates {}", self.what),
        }
    }
}

impl std::error::Error for Fault {}

fn fault<T>(part: Part, what: impl Into<String>) -> Result<T, Fault> {
    let what = what.into();
    Err(Fault { part, what })
}

impl Servers {
    /// One server, all that is told of it by its URL.
    ///
    /// # Errors
    /// When that is none.
    pub fn at(url: &str) -> Result<Self, Fault> {
        Self::of(Written {
            urls: vec![url.to_owned()],
            ..Written::default()
        })
    }

    /// # Errors
    /// At the first mistake. Files of certificates are read once, so that theirs are found as well.
    pub fn of(written: Written) -> Result<Self, Fault> {
        let default_port = match written.sentinel {
            Some(_) => SENTINEL_PORT,
            None => PORT,
        };
        let urls = written.urls.iter().enumerate();
        let read = urls.map(|(index, url)| match Url::read(url, default_port) {
            Ok(url) => Ok(url),
            Err(what) => fault(Part::Url(index), what),
        });
        let urls = read.collect::<Result<Vec<_>, _>>()?;
        let Some(first) = urls.first() else {
            return fault(
                Part::Urls,
                "is empty; write one such as \"redis://127.0.0.1:6379\"",
            );
        };
        if let Some(index) = urls.iter().position(|url| !url.agrees_with(first)) {
            let what = "differs from the first one by more than host and port: all have the same scheme, user, password and database";
            return fault(Part::Url(index), what);
        }
        let (tls, database, in_urls) = (first.is_tls, first.database, first.login.clone());
        let tls = written.tls(tls)?;
        let login = written.login()?;
        let addresses = urls.into_iter().map(|url| url.address).collect::<Vec<_>>();
        let arrangement = written.arrangement(addresses, &in_urls, database)?;
        let login = match (&arrangement, login.password.is_some()) {
            (Arrangement::Sentinel { .. }, _) => login,
            (_, false) => in_urls,
            (_, true) if in_urls.password.is_none() => login,
            _ => {
                let what = "is given twice: leave it out of the URLs, or do not set it on its own";
                return fault(Part::Password, what);
            }
        };
        Ok(Self {
            arrangement,
            login,
            database,
            tls,
        })
    }
}

impl Written {
    fn arrangement(
        &self,
        mut addresses: Vec<Address>,
        in_urls: &Login,
        database: u32,
    ) -> Result<Arrangement, Fault> {
        let unix = |address: &Address| matches!(address, Address::Unix(_));
        let is_any_unix = addresses.iter().any(unix);
        match (&self.sentinel, self.is_cluster) {
            (Some(_), true) => fault(
                Part::Cluster,
                "has no Sentinels: leave out one of the two settings",
            ),
            (Some(_), false) | (None, true) if is_any_unix => fault(
                Part::Urls,
                "has a Unix socket, which only a single server can have",
            ),
            (Some(name), false) if name.is_empty() || name.contains(char::is_whitespace) => {
                let what =
                    "is none; write the one that `sentinel monitor` has, such as \"mymaster\"";
                fault(Part::Sentinel, what)
            }
            (Some(name), false) => Ok(Arrangement::Sentinel {
                name: name.clone(),
                sentinels: addresses,
                login: in_urls.clone(),
            }),
            (None, true) if database != 0 => {
                fault(Part::Urls, "names a database, and a cluster has only one")
            }
            (None, true) => Ok(Arrangement::Cluster(addresses)),
            (None, false) if addresses.len() > 1 => fault(
                Part::Urls,
                "has more than one: say that they are nodes of a cluster, or give the name by which they, as Sentinels, know the primary",
            ),
            (None, false) => Ok(Arrangement::Single(addresses.remove(0))),
        }
    }

    fn login(&self) -> Result<Login, Fault> {
        match (&self.user, &self.password) {
            (Some(user), _) if user.is_empty() => {
                fault(Part::User, "is empty; leave it out for the default user")
            }
            (Some(_), None) => fault(Part::User, "has no password"),
            (user, password) => Ok(Login {
                user: user.clone(),
                password: password.clone(),
            }),
        }
    }

    fn tls(&self, is_on: bool) -> Result<Option<Tls>, Fault> {
        let given = [
            (Part::CaFile, self.ca_file.is_some()),
            (Part::Certificate, self.certificate.is_some()),
            (Part::TlsName, self.tls_name.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            _ if is_on => {}
            Some((part, _)) => {
                let what = "is for TLS, which the URLs do not ask for: write \"rediss://\" or \"valkeys://\"";
                return fault(*part, what);
            }
            None => return Ok(None),
        }
        let read = self.ca_file.as_deref().map(certificate::certificates);
        if let Some(Err(error)) = read {
            return fault(Part::CaFile, error.to_string());
        }
        if let Some(Err(error)) = self.certificate.as_ref().map(Certificate::read) {
            return fault(Part::Certificate, error.to_string());
        }
        let name = self.tls_name.clone().map(ServerName::try_from);
        let Ok(name) = name.transpose() else {
            let what = "is none that a certificate can be for, such as \"valkey.example.org\"";
            return fault(Part::TlsName, what);
        };
        Ok(Some(Tls {
            ca_file: self.ca_file.clone(),
            certificate: self.certificate.clone(),
            name,
        }))
    }
}

#[cfg(test)]
mod tests;
