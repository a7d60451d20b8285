//! Asking for the addresses of a name, and for how long they are good: the hosts file first, then DNS.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
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

/// How long the answer is believed that comes without a lifetime.
const UNSTATED: Duration = Duration::from_secs(30);

/// The longest and the shortest that an answer is believed, whatever it says: a name that moves is followed within
/// minutes, and one that says 0 is not asked for with each connection.
const LONGEST: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a name server is waited for before it is asked again, since question or answer may be lost: slow ones take most
/// of a second. Its answer to the first question counts as long as any is waited for.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long before the next of several name servers is asked, too.
const NEXT_SERVER: Duration = Duration::from_millis(250);

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Names {
    /// The name servers of the system (resolv.conf), read each time: they may have changed.
    System,
    /// This one alone, by UDP, or by TCP where an answer is too long.
    At(SocketAddr),
}

/// An answer: at least one address, the resolver's first choice first.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Found {
    pub(in crate::upstream) addresses: Vec<IpAddr>,
    pub(in crate::upstream) lifetime: Duration,
}

impl Names {
    /// Fails with [`io::ErrorKind::NotFound`] when the name does not exist, or has no address.
    pub(in crate::upstream) async fn look_up(self, host: &str) -> io::Result<Found> {
        if is_local(host) {
            return system(host).await;
        }
        let resolvers = match self.resolvers() {
            Ok(resolvers) if !resolvers.is_empty() => resolvers,
            // Without a name server the system may still know other ways.
            _ if self == Self::System => return system(host).await,
            Ok(_) => return Err(io::ErrorKind::NotFound.into()),
            Err(error) => return Err(io::Error::other(error)),
        };
        let found = first_answer(&resolvers, host).await?;
        let records = found.as_lookup().answers();
        let ttl = records.iter().map(|record| u64::from(record.ttl)).min();
        answer(found.iter().collect(), ttl.map(Duration::from_secs))
    }

    /// One for each name server, made for one question: its tasks run on the worker that asks, and what it knows is kept
    /// elsewhere.
    fn resolvers(self) -> Result<Vec<Resolver<Patient>>, NetError> {
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
            let mut builder = Resolver::builder_with_config(config, Patient::default());
            *builder.options_mut() = options.clone();
            let options = builder.options_mut();
            options.use_hosts_file = ResolveHosts::Always;
            // RFC 8305 §4: IPv6 first; who has no way there learns it at once, or waits for a quarter of a second.
            options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            options.cache_size = 1;
            builder.build()
        };
        config.name_servers().iter().map(only).collect()
    }
}

/// The first answer of any name server: each is asked a little after the one before, or as soon as that has failed. That
/// a name does not exist is an answer.
async fn first_answer(resolvers: &[Resolver<Patient>], host: &str) -> io::Result<LookupIp> {
    let look_up = |resolver: &Resolver<Patient>| {
        let (resolver, host) = (resolver.clone(), host.to_owned());
        Box::pin(async move { resolver.lookup_ip(host).await })
    };
    let mut waiting = resolvers.iter();
    let mut asked = Vec::new();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(next) = waiting.next() {
            asked.push(look_up(next));
        } else if asked.is_empty() {
            return Err(failed);
        }
        let patience = match waiting.len() {
            0 => Duration::MAX,
            _ => NEXT_SERVER,
        };
        match timeout(patience, next_of(&mut asked))
            .await
            .map(|found| found.map_err(failure))
        {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => failed = error,
            Ok(found) => return found,
            Err(_elapsed) => {}
        }
    }
}

/// What the first of `asked` to end brings; at least one.
async fn next_of<F: Future + Unpin>(asked: &mut Vec<F>) -> F::Output {
    poll_fn(|cx| {
        for at in 0..asked.len() {
            if let Poll::Ready(found) = Pin::new(&mut asked[at]).poll(cx) {
                drop(asked.swap_remove(at));
                return Poll::Ready(found);
            }
        }
        Poll::Pending
    })
    .await
}

/// What a resolver works with: the runtime, and timers that are in no haste to ask again. It listens to all that it has
/// asked meanwhile.
#[derive(Clone, Default)]
struct Patient(TokioRuntimeProvider);

struct PatientTime;

impl RuntimeProvider for Patient {
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
        TokioTime::delay_for(duration.max(ASK_AGAIN))
    }

    fn timeout<'a, F: Future + Send + 'static + 'a>(
        duration: Duration,
        future: F,
    ) -> Pin<Box<dyn Future<Output = io::Result<F::Output>> + Send + 'a>> {
        TokioTime::timeout(duration, future)
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
