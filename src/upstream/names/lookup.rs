//! Looks up the addresses of a name and how long they are valid: in the hosts file first, then in DNS.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::{RuntimeProvider, Time, TokioRuntimeProvider, TokioTime};
use hickory_resolver::system_conf::read_system_conf;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::upstream::poll_first::poll_first;

/// How long an answer without a TTL is valid.
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The longest and the shortest that an answer is valid, whatever its TTL: a name that moves is followed within minutes,
/// and one whose TTL is 0 is not looked up for each connection.
const MAX_TTL: Duration = Duration::from_secs(300);
const MIN_TTL: Duration = Duration::from_secs(1);

/// How long to wait for a name server before the query is sent again, since query or answer may be lost: slow servers take
/// most of a second. An answer to the first query counts for as long as the look-up goes on.
const QUERY_AGAIN: Duration = Duration::from_secs(1);

/// How long before the next of several name servers is queried, too.
const NEXT_SERVER: Duration = Duration::from_millis(250);

/// Which name servers to query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum NameServers {
    /// The name servers of the system (resolv.conf), read each time: they may have changed.
    System,
    /// This one alone, by UDP, or by TCP where an answer is too long.
    At(SocketAddr),
}

/// At least one address, the resolver's first choice first.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::upstream) struct LookUpAnswer {
    pub(in crate::upstream) addresses: Vec<IpAddr>,
    pub(in crate::upstream) lifetime: Duration,
}

impl NameServers {
    /// Fails with [`io::ErrorKind::NotFound`] when the name does not exist, or has no address.
    pub(in crate::upstream) async fn look_up(self, host: &str) -> io::Result<LookUpAnswer> {
        if is_local(host) {
            return system(host).await;
        }
        let resolvers = match self.resolvers() {
            Ok(resolvers) if !resolvers.is_empty() => resolvers,
            // Without a name server the system may still have other ways.
            _ if self == Self::System => return system(host).await,
            Ok(_) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(io::Error::other(error)),
        };
        let found = first_answer(&resolvers, host).await?;
        let records = found.as_lookup().answers();
        let ttl = records.iter().map(|record| u64::from(record.ttl)).min();
        answer(found.iter().collect(), ttl.map(Duration::from_secs))
    }

    /// A resolver for each name server, for one look-up: its tasks run on the worker that looks up, and the answer is cached
    /// elsewhere.
    fn resolvers(self) -> Result<Vec<Resolver<PatientRuntime>>, NetError> {
        let (config, options) = match self {
            Self::System => read_system_conf()?,
            Self::At(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                (config, ResolverOpts::default())
            }
        };
        let only = |server: &NameServerConfig| {
            let (domain, search) = (config.domain().cloned(), config.search().to_vec());
            let config = ResolverConfig::from_parts(domain, search, vec![server.clone()]);
            let mut builder = Resolver::builder_with_config(config, PatientRuntime::default());
            *builder.options_mut() = options.clone();
            let options = builder.options_mut();
            options.use_hosts_file = ResolveHosts::Always;
            // RFC 8305 §4: IPv6 first; where there is no route, that is known at once, or after a quarter of a second.
            options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            options.cache_size = 1;
            builder.build()
        };
        config.name_servers().iter().map(only).collect()
    }
}

/// The first answer of any name server: each is queried [`NEXT_SERVER`] after the one before, or as soon as that has failed.
/// "The name does not exist" is an answer.
async fn first_answer(resolvers: &[Resolver<PatientRuntime>], host: &str) -> io::Result<LookupIp> {
    let look_up = |resolver: &Resolver<PatientRuntime>| {
        let (resolver, host) = (resolver.clone(), host.to_owned());
        Box::pin(async move { resolver.lookup_ip(host).await })
    };
    let mut unqueried = resolvers.iter();
    let mut queries = Vec::new();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(next) = unqueried.next() {
            queries.push(look_up(next));
        } else if queries.is_empty() {
            return Err(failed);
        }
        let wait = match unqueried.len() {
            0 => Duration::MAX,
            _ => NEXT_SERVER,
        };
        let found = poll_fn(|cx| poll_first(queries.iter_mut(), cx));
        let Ok((at, found)) = timeout(wait, found).await else {
            continue;
        };
        drop(queries.swap_remove(at));
        let error = match found {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let kind = match &error {
            error if error.is_no_records_found() => io::ErrorKind::NotFound,
            NetError::Timeout => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        failed = io::Error::new(kind, error);
        if kind == io::ErrorKind::NotFound {
            return Err(failed);
        }
    }
}

/// The resolver's runtime, with timers that wait at least [`QUERY_AGAIN`] before a query is sent again. Answers to all
/// queries sent so far count.
#[derive(Clone, Default)]
struct PatientRuntime(TokioRuntimeProvider);

struct PatientTime;

impl RuntimeProvider for PatientRuntime {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = PatientTime;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server_addr: SocketAddr,
        bind_addr: Option<SocketAddr>,
        timeout: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = io::Result<Self::Tcp>> + Send>> {
        self.0.connect_tcp(server_addr, bind_addr, timeout)
    }

    fn bind_udp(
        &self,
        local_addr: SocketAddr,
        server_addr: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Self::Udp>> + Send>> {
        self.0.bind_udp(local_addr, server_addr)
    }
}

impl Time for PatientTime {
    fn delay_for<'a>(duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        TokioTime::delay_for(duration.max(QUERY_AGAIN))
    }

    fn timeout<'a, F: Future + Send + 'static + 'a>(
        duration: Duration,
        future: F,
    ) -> Pin<Box<dyn Future<Output = io::Result<F::Output>> + Send + 'a>> {
        TokioTime::timeout(duration, future)
    }
}

/// RFC 6761 §6.3: such names are for the machine itself.
fn is_local(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost")
}

/// Looks up in the system, which gives no TTL.
async fn system(host: &str) -> io::Result<LookUpAnswer> {
    let found = lookup_host((host, 0)).await?;
    answer(found.map(|address| address.ip()).collect(), None)
}

fn answer(found: Vec<IpAddr>, lifetime: Option<Duration>) -> io::Result<LookUpAnswer> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address"));
    }
    Ok(LookUpAnswer {
        addresses,
        lifetime: lifetime.unwrap_or(DEFAULT_TTL).clamp(MIN_TTL, MAX_TTL),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_names_are_left_to_the_system() {
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
    fn an_answer_is_valid_neither_too_long_nor_too_short() {
        let address = IpAddr::from([192, 0, 2, 1]);
        for (ttl, secs) in [
            (Some(0), 1),
            (Some(60), 60),
            (Some(86_400), 300),
            (None, 30),
        ] {
            let found = answer(vec![address, address], ttl.map(Duration::from_secs));
            let expected = LookUpAnswer {
                addresses: vec![address],
                lifetime: Duration::from_secs(secs),
            };
            assert_eq!(found.ok(), Some(expected), "{ttl:?}");
        }
        let none = answer(Vec::new(), None).map_err(|error| error.kind());
        assert_eq!(none, Err(io::ErrorKind::NotFound));
    }
}
