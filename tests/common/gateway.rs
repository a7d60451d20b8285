//! A whole gateway in this process: its own ports, its own store, its own clock if the test wants one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bookend::cache::store::{Count, Removal};
use bookend::clock::{Clock, ManualClock};
use bookend::config::{Config, ListenAddr};
use bookend::faults::{Fate, Faults, Operation};
use bookend::instance::{self, Instance};
use bookend::ledger::invalidation::{Applied, Invalidation, Matcher};
use bookend::proxy;
use bookend::semantics::selector::Selector;
use bookend::semantics::time::Timestamp;
use bookend::server::{Outcome, TlsListeners};
use bookend::telemetry::counters::Counters;
use tokio::sync::oneshot;

use super::await_that;
use super::client::{Answer, Client};
use super::message::{Request, get};
use super::origin::Origin;

/// What a gateway is started with: `Gateway::before(&origin).route("/books/{id}", "ttl = '5m'").start()`.
#[derive(Clone)]
pub struct Setup {
    upstreams: Vec<String>,
    server: String,
    upstream: String,
    cache: String,
    admin: String,
    log: String,
    more: String,
    manual: Option<Timestamp>,
    boot: Timestamp,
    manual_deadlines: bool,
    workers: usize,
    lease: Option<Duration>,
    faults: Faults,
}

/// A running gateway. Dropping it drains and stops it; a gateway that does not end well fails the test.
pub struct Gateway {
    /// In the order of the configuration: that of `[server]`, then those of each `[[listener]]`.
    addrs: Vec<SocketAddr>,
    tls: TlsListeners,
    admin: SocketAddr,
    shared: Arc<proxy::Gateway>,
    manual: Option<ManualClock>,
    deadlines: Option<ManualClock>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<Outcome, instance::Error>>>,
}

impl Setup {
    /// Lines for `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        self.server += &format!("{lines}\n");
        self
    }

    /// How many workers, 2 if this is not called.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Lines for `[upstream]`.
    pub fn upstream(mut self, lines: &str) -> Self {
        self.upstream += &format!("{lines}\n");
        self
    }

    /// Lines for `[cache]`.
    pub fn cache(mut self, lines: &str) -> Self {
        self.cache += &format!("{lines}\n");
        self
    }

    /// Lines for `[admin]`.
    pub fn admin(mut self, lines: &str) -> Self {
        self.admin += &format!("{lines}\n");
        self
    }

    /// Its access log, a JSON object a line, goes to this file.
    pub fn access_log(mut self, file: &Path) -> Self {
        let lines = format!("access = \"json\"\naccess_file = {file:?}");
        self.log = self.log.replace("access = \"off\"", &lines);
        self
    }

    /// How the lines of the access log are written, as TOML.
    pub fn access(mut self, format: &str) -> Self {
        self.log = self
            .log
            .replace("access = \"off\"", &format!("access = {format}"));
        self
    }

    /// Lines for `[log]`.
    pub fn log(mut self, lines: &str) -> Self {
        self.log += &format!("\n{lines}");
        self
    }

    /// A `[[route]]` with these lines.
    pub fn route(self, pattern: &str, lines: &str) -> Self {
        self.more(&format!("[[route]]\nmatch = \"{pattern}\"\n{lines}"))
    }

    /// Further tables.
    pub fn more(mut self, lines: &str) -> Self {
        self.more += &format!("{lines}\n");
        self
    }

    /// Has the gateway's clock stand still until [`Gateway::advance`] moves it. Deadlines of connections are not
    /// its business.
    pub fn manual_clock(self) -> Self {
        self.manual_clock_at(Clock::system().now().wall)
    }

    /// The same, at a time that the test knows.
    pub fn manual_clock_at(mut self, start: Timestamp) -> Self {
        self.manual = Some(start);
        self
    }

    /// On a machine that was started then, if its wall clock has been right since.
    pub fn up_since(mut self, boot: Timestamp) -> Self {
        self.boot = boot;
        self
    }

    /// Has the deadlines of clients' connections pass only by [`Gateway::advance_deadlines`].
    pub fn manual_deadlines(mut self) -> Self {
        self.manual_deadlines = true;
        self
    }

    /// A member of the fleet that shares this server, which waits for others no longer than a test can: leases last for this.
    pub fn fleet(mut self, url: &str, lease: Duration) -> Self {
        self.lease = Some(lease);
        self.more(&format!("[valkey]\nurl = {url:?}"))
    }

    /// What becomes of the operations on the files of `[disk]`.
    pub fn faults(mut self, decide: impl Fn(Operation) -> Fate + Send + Sync + 'static) -> Self {
        self.faults = Faults::by(decide);
        self
    }

    #[track_caller]
    pub fn start(self) -> Gateway {
        let config = self.config();
        let (clock, manual) = match self.manual {
            Some(start) => {
                let (clock, manual) = Clock::manual_up_since(start, self.boot);
                (clock, Some(manual))
            }
            None => (Clock::system(), None),
        };
        let deadlines = self
            .manual_deadlines
            .then(|| Clock::manual(Timestamp::from_secs(1_000_000)));
        Gateway::run(config, clock, manual, deadlines)
    }

    #[track_caller]
    fn config(&self) -> Config {
        let servers: Vec<_> = self
            .upstreams
            .iter()
            .map(|url| format!("{url:?}"))
            .collect();
        let upstream = match servers.is_empty() {
            true => String::new(),
            false => format!(
                "[upstream]\nservers = [{}]\n{}",
                servers.join(", "),
                self.upstream
            ),
        };
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = {}\n{}\n{upstream}\n\
             [cache]\n{}\n[admin]\nlisten = \"127.0.0.1:0\"\n{}\n[log]\n{}\n{}",
            self.workers, self.server, self.cache, self.admin, self.log, self.more
        );
        let config = Config::parse(&toml, "the test", &|_| None);
        let mut config = config.unwrap_or_else(|mistakes| panic!("{toml}\n{mistakes:#?}"));
        if let (Some(valkey), Some(lease)) = (&mut config.valkey, self.lease) {
            valkey.lease = lease;
            valkey.replaced = lease;
        }
        if let Some(disk) = &mut config.disk {
            disk.faults = self.faults.clone();
        }
        config
    }
}

impl Gateway {
    pub fn before(origin: &Origin) -> Setup {
        Self::before_all([origin.url()])
    }

    /// Before several servers, given by their URLs; without an `[upstream]` where there are none.
    pub fn before_all(upstreams: impl IntoIterator<Item = String>) -> Setup {
        Setup {
            upstreams: upstreams.into_iter().collect(),
            server: String::new(),
            upstream: String::new(),
            cache: String::new(),
            admin: String::new(),
            log: "access = \"off\"".to_owned(),
            more: String::new(),
            manual: None,
            boot: Timestamp::default(),
            manual_deadlines: false,
            workers: 2,
            lease: None,
            faults: Faults::default(),
        }
    }

    fn run(
        config: Config,
        clock: Clock,
        manual: Option<ManualClock>,
        deadlines: Option<(Clock, ManualClock)>,
    ) -> Self {
        let instance = Instance::bind(config, clock).expect("free ports");
        let (instance, deadlines) = match deadlines {
            Some((clock, manual)) => (instance.with_deadlines_by(clock), Some(manual)),
            None => (instance, None),
        };
        let addrs = instance.addrs().iter().map(tcp).collect();
        let tls = instance.tls();
        let admin = tcp(&instance.admin_addr().expect("an admin listener"));
        let shared = instance.gateway().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            instance.run(async {
                // Dropped or sent: both mean stop.
                let _ = stopped.await;
            })
        });
        // Its port is taken: what connects before the workers accept has only to wait.
        Self {
            addrs,
            tls,
            admin,
            shared,
            manual,
            deadlines,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Puts another configuration in force, as SIGHUP does.
    #[track_caller]
    pub fn reload(&self, setup: &Setup) {
        let config = setup.config();
        self.tls.reload(&config.server).expect("a reload");
        self.shared.reload(config).expect("a reload");
    }

    pub fn addr(&self) -> SocketAddr {
        self.addrs[0]
    }

    /// That of the first `[[listener]]`.
    pub fn listener(&self) -> SocketAddr {
        self.addrs[1]
    }

    /// Those of all `[[listener]]`.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.addrs[1..]
    }

    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        Client::to(self.addr())
    }

    /// One GET on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.send(&get(target))
    }

    /// One request on a connection of its own.
    pub fn send(&self, request: &Request) -> Answer {
        self.client().send(request)
    }

    /// Moves the clock of a gateway started with [`Setup::manual_clock`].
    pub fn advance(&self, by: Duration) {
        self.manual
            .as_ref()
            .expect("a gateway with a manual clock")
            .advance(by);
    }

    /// Sets the wall clock of a gateway back that was started with [`Setup::manual_clock`].
    pub fn set_clock_back(&self, by: Duration) {
        let manual = self.manual.as_ref();
        manual.expect("a gateway with a manual clock").set_back(by);
    }

    /// Moves the clock of [`Setup::manual_deadlines`].
    pub fn advance_deadlines(&self, by: Duration) {
        let deadlines = self.deadlines.as_ref();
        deadlines
            .expect("a gateway with manual deadlines")
            .advance(by);
    }

    /// What `/metrics` says of it, over all its labels; panics when it is not there.
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = Client::to(self.admin).get("/metrics").expect(200).text();
        let values: Vec<f64> = text
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!values.is_empty(), "{name} is not in {text}");
        values.iter().sum::<f64>() as u64
    }

    /// Waits until `/metrics` says that it is exactly `value`.
    #[track_caller]
    pub fn await_metric(&self, name: &str, value: u64) {
        await_that(&format!("{name} = {value}"), || self.metric(name) == value);
    }

    /// A number that all workers count together, read without asking for it over the wire: `gateway.sum(|counted| counted.followers.value())`.
    pub fn sum(&self, read: impl Fn(&Counters) -> u64) -> u64 {
        self.shared.metrics().sum(read)
    }

    /// Waits until that number is exactly `value`.
    #[track_caller]
    pub fn await_sum(&self, value: u64, read: impl Fn(&Counters) -> u64) {
        await_that(&format!("a sum of {value}"), || self.sum(&read) == value);
    }

    /// Waits until nothing is being fetched for the cache any more.
    #[track_caller]
    pub fn await_no_fills(&self) {
        self.await_sum(0, |counted| counted.fills.value());
    }

    /// Has requests wait so long for the second tiers.
    pub fn wait_for_tiers(&self, longest: Duration) {
        self.shared.wait_for_tiers(longest);
    }

    /// Carries out an invalidation, as a purge does.
    pub fn apply(&self, invalidation: &Invalidation) -> Applied {
        self.shared.purge(invalidation).applied
    }

    /// Carries out an invalidation as a purge does, but for what a thread removes behind: that is left to [`remove`](Self::remove).
    pub fn begin(&self, invalidation: &Invalidation) -> (Applied, Option<Removal>) {
        self.shared.store().begin(invalidation, Count::All)
    }

    /// Removes what an invalidation covers that holds already, and tells for how many resources.
    pub fn remove(&self, removal: Removal) -> usize {
        self.shared.store().remove(removal)
    }

    /// What requests for a route find.
    pub fn route(&self, name: &str) -> Result<Matcher, String> {
        self.shared.route_matcher(name)
    }

    /// Has invalidations of so many resources hold before what they cover is removed.
    pub fn publish_from(&self, resources: u64) {
        self.shared.store().publish_from(resources);
    }

    /// What an invalidation would do.
    pub fn preview(&self, invalidation: &Invalidation) -> Applied {
        let now = self.shared.clock().now();
        self.shared.store().preview(invalidation, now, 0).applied
    }

    /// URIs that responses are stored for.
    pub fn stored(&self) -> u64 {
        let store = self.shared.store();
        store.run_pending_tasks();
        let all = store.find(&Selector::PathPrefix(String::new()), usize::MAX);
        let stored = all
            .iter()
            .filter(|(_, resource)| !resource.variants().is_empty());
        stored.count() as u64
    }

    /// Stops it as a signal would, and tells how it ended.
    pub fn stop(mut self) -> Outcome {
        self.end()
    }

    fn end(&mut self) -> Outcome {
        drop(self.stop.take());
        let thread = self.thread.take().expect("a gateway that runs");
        let outcome = thread.join().expect("a gateway that does not panic");
        outcome.expect("a gateway that ends well")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.thread.is_some() && !thread::panicking() {
            self.end();
        }
    }
}

fn tcp(addr: &ListenAddr) -> SocketAddr {
    match addr {
        ListenAddr::Tcp(addr) => *addr,
        ListenAddr::Unix(path) => panic!("a TCP address was asked for, got {}", path.display()),
    }
}
