//! Binds the addresses of a server before any worker runs: errors show at once, and port 0 has become a number.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use socket2::Socket;

use super::error::Error;
use super::inherited::Inherited;
use super::listening::{Offer, SocketFile, Sockets};
use super::terms::Terms;
use super::tls::{Issued, Secured, Tls, TlsListeners};
use crate::config::{self, ListenAddr};
use crate::proxy::{Challenges, OwnAnswers};

/// The bound listeners of a server.
#[derive(Debug)]
pub(super) struct Listeners {
    workers: usize,
    endpoints: Vec<Endpoint>,
    challenges: Challenges,
    is_closed: bool,
}

/// Those of a server that runs: a handover sends them to a successor meanwhile.
#[derive(Clone, Debug)]
pub(super) struct SharedListeners(Arc<Mutex<Listeners>>);

impl SharedListeners {
    pub fn new(listeners: Listeners) -> Self {
        Self(Arc::new(Mutex::new(listeners)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One address, its listening sockets, and how connections to it are treated.
#[derive(Debug)]
struct Endpoint {
    configured: ListenAddr,
    /// With the real port where port 0 was asked for.
    addr: ListenAddr,
    sockets: Sockets,
    treatment: Treatment,
    /// The socket file, where this process is to remove it.
    file: Option<SocketFile>,
}

/// A listening socket of one worker, and how its connections are treated.
#[derive(Debug)]
pub(super) struct Bound {
    pub socket: Socket,
    pub treatment: Treatment,
}

/// How the connections of a listener are treated; the workers share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Treatment {
    pub tls: Option<Arc<Tls>>,
    /// What the listener answers itself, where it has no TLS.
    own: Option<Arc<OwnAnswers>>,
    /// The balancers in front, each of whose connections begins with a PROXY header; empty: none does.
    pub balancers: Arc<[IpNet]>,
    pub terms: Arc<Terms>,
}

impl Treatment {
    /// What a connection that begins now gets from its listener itself; `None` for nothing.
    pub fn own_answers(&self) -> Option<Arc<OwnAnswers>> {
        self.own.clone().filter(|own| own.are_expected())
    }

    /// Whether a connection of either would have been treated alike before its first request, and answered by the same side.
    fn is_like(&self, other: &Self) -> bool {
        let redirect = |treatment: &Self| treatment.own.as_ref().and_then(|own| own.redirect);
        let is_tls_alike = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => one.demands_as(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        is_tls_alike && self.balancers == other.balancers && redirect(self) == redirect(other)
    }

    /// Whether anything comes on a connection before HTTP.
    pub fn precedes_http(&self) -> bool {
        self.tls.is_some() || !self.balancers.is_empty()
    }
}

impl Listeners {
    /// Binds all addresses of `config`, but for those that `inherited` has sockets for. Returns them with the TLS of those
    /// that have it.
    pub fn bind(
        config: &config::Server,
        workers: usize,
        inherited: &mut Inherited,
    ) -> Result<(Self, TlsListeners), Error> {
        let issued = Arc::<Issued>::default();
        let challenges = Challenges::default();
        let (listeners, secured) =
            Self::open(config, workers, inherited, challenges, &issued, None)?;
        Ok((listeners, TlsListeners::new(secured, issued)))
    }

    /// Those of another configuration, which take the place of these.
    pub fn renewed(
        &self,
        config: &config::Server,
        workers: usize,
        inherited: &mut Inherited,
        tls: &TlsListeners,
    ) -> Result<(Self, Secured), Error> {
        let challenges = self.challenges.clone();
        let issued = tls.shared_issued();
        Self::open(config, workers, inherited, challenges, issued, Some(self))
    }

    fn open(
        config: &config::Server,
        workers: usize,
        inherited: &mut Inherited,
        challenges: Challenges,
        issued: &Arc<Issued>,
        before: Option<&Self>,
    ) -> Result<(Self, Secured), Error> {
        let mut listeners = Self {
            workers,
            endpoints: Vec::new(),
            challenges,
            is_closed: false,
        };
        let challenges = listeners.challenges.clone();
        let own = |redirect| {
            let challenges = challenges.clone();
            Some(Arc::new(OwnAnswers {
                redirect,
                challenges,
            }))
        };
        let all: Vec<_> = config.addrs().cloned().collect();
        let mut add = |addr: &ListenAddr, treatment: &Treatment, inherited: &mut Inherited| {
            let open = Endpoint::open(addr, &all, workers, inherited, treatment);
            let mut endpoint = open.map_err(|source| Error::Listen {
                addr: addr.clone(),
                source,
            })?;
            if let Some(before) = before.and_then(|before| before.alike(&endpoint)) {
                endpoint.treatment.terms = before.treatment.terms.clone();
            }
            if let Some(tls) = &endpoint.treatment.tls {
                tls.belongs_to(endpoint.treatment.terms.clone());
            }
            listeners.endpoints.push(endpoint);
            Ok(())
        };
        for addr in &config.listen {
            let own = own(None);
            let treatment = Treatment {
                own,
                ..Treatment::default()
            };
            add(addr, &treatment, inherited)?;
        }
        let mut secured = Vec::new();
        for listener in &config.listeners {
            let keys = inherited.take_ticket_keys(&listener.listen);
            let tls = listener.tls.as_ref();
            let tls = tls.map(|tls| Tls::new(tls, keys, issued));
            let tls = tls.transpose().map_err(Error::Certificate)?;
            let treatment = Treatment {
                own: own(listener.redirect).filter(|_| tls.is_none()),
                tls,
                balancers: listener.proxy_protocol.clone().into(),
                ..Treatment::default()
            };
            for addr in &listener.listen {
                add(addr, &treatment, inherited)?;
            }
            if let Some(tls) = treatment.tls {
                secured.push((listener.listen.clone(), tls));
            }
        }
        Ok((listeners, secured))
    }

    pub fn addrs(&self) -> impl Iterator<Item = &ListenAddr> {
        self.endpoints.iter().map(|endpoint| &endpoint.addr)
    }

    /// The challenges that all listeners without TLS answer.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// The listeners of each worker.
    pub fn sets(&self) -> io::Result<Vec<Vec<Bound>>> {
        let mut sets = Vec::new();
        for index in 0..self.workers {
            let mut set = Vec::new();
            for endpoint in &self.endpoints {
                for socket in endpoint.sockets.of_worker(index, self.workers)? {
                    let treatment = endpoint.treatment.clone();
                    set.push(Bound { socket, treatment });
                }
            }
            sets.push(set);
        }
        Ok(sets)
    }

    /// Duplicates of all sockets, for a successor; none once they are closed.
    pub fn offers(&self) -> io::Result<Vec<Offer>> {
        let offers = self.endpoints.iter().map(|endpoint| {
            Ok(Offer {
                configured: endpoint.configured.clone(),
                addr: endpoint.addr.clone(),
                is_shared: matches!(endpoint.sockets, Sockets::Shared(_)),
                sockets: endpoint.sockets.duplicates()?,
                has_file: endpoint.file.is_some(),
            })
        });
        offers.collect()
    }

    /// Leaves the socket files to a successor.
    pub fn give_files_up(&self) {
        for endpoint in &self.endpoints {
            endpoint.file.iter().for_each(SocketFile::give_up);
        }
    }

    /// Puts `new` in the place of these, whose socket files it has where it has their addresses.
    pub fn replace(&mut self, new: Self, announcement: &str) {
        for old in &self.endpoints {
            if new.alike(old).is_none() {
                old.treatment.terms.end();
            }
            match new.endpoints.iter().any(|new| new.addr == old.addr) {
                true => old.file.iter().for_each(SocketFile::give_up),
                false => tracing::info!(address = %old.addr, "not listening any more"),
            }
        }
        for added in &new.endpoints {
            if !self.endpoints.iter().any(|old| old.addr == added.addr) {
                tracing::info!(address = %added.addr, "{announcement}");
            }
        }
        *self = new;
    }

    /// Its endpoint with the same address, if that treats connections like `endpoint`.
    fn alike(&self, endpoint: &Endpoint) -> Option<&Endpoint> {
        let mut all = self.endpoints.iter();
        all.find(|own| own.addr == endpoint.addr && own.treatment.is_like(&endpoint.treatment))
    }

    /// Whether the server drains.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Closes the sockets, but for the duplicates that workers have. Socket files stay until this is dropped.
    pub fn close(&mut self) {
        self.is_closed = true;
        for endpoint in &mut self.endpoints {
            endpoint.sockets = Sockets::Each(Vec::new());
        }
    }
}

impl Endpoint {
    fn open(
        addr: &ListenAddr,
        all: &[ListenAddr],
        workers: usize,
        inherited: &mut Inherited,
        treatment: &Treatment,
    ) -> io::Result<Self> {
        let (sockets, file) = match (inherited.take(addr), addr) {
            (Some((sockets, file)), _) => (sockets.with_enough(workers)?, file),
            (None, ListenAddr::Tcp(at)) => {
                (Sockets::tcp(*at, is_v6_only(*at, all), workers)?, None)
            }
            (None, ListenAddr::Unix(path)) => {
                let (sockets, file) = Sockets::unix(path)?;
                (sockets, Some(file))
            }
        };
        Ok(Self {
            addr: sockets.addr()?.unwrap_or_else(|| addr.clone()),
            sockets,
            configured: addr.clone(),
            treatment: Treatment {
                terms: Arc::default(),
                ..treatment.clone()
            },
            file,
        })
    }
}

/// `[::]` accepts IPv4 clients too, unless an IPv4 address with the same port is listed as well.
fn is_v6_only(addr: SocketAddr, all: &[ListenAddr]) -> bool {
    addr.port() != 0
        && all.iter().any(|other| {
            matches!(other, ListenAddr::Tcp(other) if other.is_ipv4() && other.port() == addr.port())
        })
}
