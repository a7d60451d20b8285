//! Asking for the addresses of a name, and for how long they are good: the hosts file first, then DNS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::lookup_host;

/// How long the answer is believed that comes without a lifetime.
const UNSTATED: Duration = Duration::from_secs(30);

/// The longest and the shortest that an answer is believed, whatever it says: a name that moves is followed within
/// minutes, and one that says 0 is not asked for with each connection.
const LONGEST: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a name server is waited for before it, or another, is asked again: within the connect deadline. When none has
/// answered, they are asked once more and have the time that the system gives them.
const PATIENCE: Duration = Duration::from_millis(500);

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// The name servers of the system (resolv.conf), read each time: they may have changed.
    System,
    /// This one alone, by UDP, or by TCP where an answer is too long.
    At(SocketAddr),
}

/// An answer: at least one address, the resolver's first choice first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) lifetime: Duration,
}

impl Names {
    /// Fails with [`io::ErrorKind::NotFound`] when the name does not exist, or has no address.
    pub(super) async fn look_up(self, host: &str) -> io::Result<Found> {
        if is_local(host) {
            return system(host).await;
        }
        let (hasty, patient) = match (self.resolver(PATIENCE), self.resolver(Duration::MAX)) {
            (Ok(hasty), Ok(patient)) => (hasty, patient),
            // Without a resolv.conf the system may still know other ways.
            _ if self == Self::System => return system(host).await,
            (Err(error), _) | (_, Err(error)) => return Err(io::Error::other(error)),
        };
        let found = match hasty.lookup_ip(host).await {
            Err(NetError::Timeout) => patient.lookup_ip(host).await,
            found => found,
        };
        let found = found.map_err(failure)?;
        let records = found.as_lookup().answers();
        let ttl = records.iter().map(|record| u64::from(record.ttl)).min();
        answer(found.iter().collect(), ttl.map(Duration::from_secs))
    }

    /// One for each question: its tasks run on the worker that asks, and what it knows is kept elsewhere.
    fn resolver(self, patience: Duration) -> Result<TokioResolver, NetError> {
        let mut builder = match self {
            Self::System => TokioResolver::builder_tokio()?,
            Self::At(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        // RFC 8305 §4: IPv6 first; who has no way there learns it at once, or waits for a quarter of a second.
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        options.timeout = options.timeout.min(patience);
        options.cache_size = 1;
        builder.build()
    }
}

/// RFC 6761 §6.3: such names are the machine's own.
fn is_local(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

/// Asks the system, which knows of no lifetime.
async fn system(host: &str) -> io::Result<Found> {
    let found = lookup_host((host, 0)).await?;
    answer(found.map(|address| address.ip()).collect(), None)
}

fn answer(found: Vec<IpAddr>, lifetime: Option<Duration>) -> io::Result<Found> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(Found {
        addresses,
        lifetime: lifetime.unwrap_or(UNSTATED).clamp(SHORTEST, LONGEST),
    })
}

fn failure(error: NetError) -> io::Error {
    let kind = match &error {
        error if error.is_no_records_found() => io::ErrorKind::NotFound,
        NetError::Timeout => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_the_system_s() {
        for (host, local) in [
            ("localhost", true),
            ("LocalHost.", true),
            ("api.localhost", true),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("", false),
        ] {
            assert_eq!(is_local(host), local, "{host}");
        }
    }

    #[test]
    fn an_answer_is_believed_neither_too_long_nor_too_short() {
        let address = IpAddr::from([192, 0, 2, 1]);
        for (ttl, secs) in [
            (Some(0), 1),
            (Some(60), 60),
            (Some(86_400), 300),
            (None, 30),
        ] {
            let found = answer(vec![address, address], ttl.map(Duration::from_secs));
            let expected = Found {
                addresses: vec![address],
                lifetime: Duration::from_secs(secs),
            };
            assert_eq!(found.ok(), Some(expected), "{ttl:?}");
        }
        let none = answer(Vec::new(), None).map_err(|error| error.kind());
        assert_eq!(none, Err(io::ErrorKind::NotFound));
    }
}
