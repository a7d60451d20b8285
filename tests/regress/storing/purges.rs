//! After an invalidation of any kind, nothing is answered that was fetched before it: not from the store, not by a fill that
//! was in flight, nor by joining one; nor by what is still to be removed behind the answer. Random steps against an oracle.
//!
//! `PURGE_STEPS=10000 PURGE_SEED=7 cargo test --test regress purges` takes more of them, and the same ones again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use bookend::cache::store::Removal;
use bookend::ledger::invalidation::{Invalidation, Matcher, Strength};
use bookend::semantics::selector::Selector;

use crate::common::{Client, Gate, Gateway, Origin, Request, get, put, reply, request};

const HOSTS: [&str; 2] = ["a.test", "b.test"];

/// Each with its groups.
const PATHS: [(&str, &[&str]); 14] = [
    ("/", &[]),
    ("/books", &["shelf"]),
    ("/books?page=1", &["shelf", "pages"]),
    ("/books?page=2", &["shelf", "pages"]),
    ("/books/", &["shelf"]),
    ("/books/1", &["shelf", "one"]),
    ("/books/1/reviews", &["one"]),
    ("/books/10", &["shelf"]),
    ("/bookshop", &[]),
    ("/deep/1/2/3/4/5", &["deep"]),
    ("/deep/1/2/3/4/5?page=1", &["deep", "pages"]),
    ("/deep/1/2/3/4/50", &["deep"]),
    // The same but for what does not matter.
    ("/search?q=1&utm=1", &["pages"]),
    ("/search?q=1&utm=2", &["pages"]),
];

/// The requests in flight that may wait for one another at once.
const IN_FLIGHT: usize = 16;

/// The same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// An API whose answers say in which version of all that there is they were given, and which keeps each until it is let go.
#[derive(Clone, Default)]
struct Api {
    version: Arc<AtomicU64>,
    holding: Arc<AtomicBool>,
    held: Arc<Mutex<Vec<Gate>>>,
}

impl Api {
    fn origin(&self) -> Origin {
        let api = self.clone();
        Origin::start(move |request, conn| {
            let version = api.version.load(Ordering::SeqCst);
            let answer = match &*request.method {
                "GET" => {
                    api.hold();
                    let path = PATHS.iter().find(|(path, _)| *path == request.target);
                    let groups = path.map_or(&[][..], |(_, groups)| groups);
                    let groups: Vec<_> = groups.iter().map(|name| format!("\"{name}\"")).collect();
                    reply(200)
                        .field("Cache-Control", "max-age=600")
                        .field("ETag", format!("\"{version}\""))
                        .field("Cache-Groups", groups.join(", "))
                        .field("No-Vary-Search", "params=(\"utm\")")
                        .body(version.to_string())
                }
                _ => match request.fields.get("x-invalidates") {
                    Some(groups) => reply(204).field("Cache-Group-Invalidation", groups),
                    None => reply(204),
                },
            };
            conn.reply(request, &answer);
        })
    }

    fn hold(&self) {
        let gate = Gate::new();
        if self.holding.load(Ordering::SeqCst) {
            self.held.lock().expect("held").push(gate.clone());
        }
        // Nobody opens one that came as the holding ended.
        if !self.holding.load(Ordering::SeqCst) {
            gate.open();
        }
        gate.pass();
    }

    fn let_go(&self, random: &mut Random) {
        let mut held = self.held.lock().expect("held");
        if !held.is_empty() {
            let nth = random.below(held.len());
            held.swap_remove(nth).open();
        }
    }

    fn let_all_go(&self) {
        self.holding.store(false, Ordering::SeqCst);
        self.held
            .lock()
            .expect("held")
            .drain(..)
            .for_each(|gate| gate.open());
    }
}

/// A URL: a host and a path.
type Url = (&'static str, &'static str);

fn urls() -> impl Iterator<Item = Url> {
    let of = |host| PATHS.iter().map(move |(path, _)| (host, *path));
    HOSTS.into_iter().flat_map(of)
}

/// What must have been the version at least where a URL is answered to a request that is sent now.
#[derive(Default)]
struct Oracle(HashMap<Url, u64>);

impl Oracle {
    fn least(&self, url: Url) -> u64 {
        self.0.get(&url).copied().unwrap_or_default()
    }

    /// What `covered` names was invalidated, by an answer that is here, when the version was `version`.
    fn invalidated(&mut self, version: u64, covered: impl Fn(Url) -> bool) {
        for url in urls().filter(|url| covered(*url)) {
            self.0.insert(url, version);
        }
    }
}

/// What is invalidated, and how it is told to the gateway.
#[derive(Clone, Copy, Debug)]
enum What {
    Url(Url),
    UrlOnEveryHost(&'static str),
    Path(&'static str, &'static str),
    Prefix(&'static str, &'static str),
    PrefixOnEveryHost(&'static str),
    Group(&'static str, &'static str),
    GroupOnEveryHost(&'static str),
    All,
}

fn without_utm(path: &str) -> &str {
    path.split("&utm=").next().unwrap_or(path)
}

fn is_below(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| {
        prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?'])
    })
}

fn has_group(path: &str, group: &str) -> bool {
    PATHS
        .iter()
        .any(|(other, groups)| *other == path && groups.contains(&group))
}

impl What {
    fn random(random: &mut Random) -> Self {
        let (path, _) = random.of(&PATHS);
        let host = random.of(&HOSTS);
        let prefix = random.of(&[
            "/",
            "/books",
            "/books/",
            "/books/1",
            "/deep/1/2/3",
            "/deep/1/2/3/4/5",
            "/search",
        ]);
        let group = random.of(&["shelf", "pages", "one", "deep", "none"]);
        let bare = path.split('?').next().unwrap_or(path);
        match random.below(16) {
            0..4 => Self::Url((host, path)),
            4..6 => Self::UrlOnEveryHost(path),
            6..8 => Self::Path(host, bare),
            8..10 => Self::Prefix(host, prefix),
            10 => Self::PrefixOnEveryHost(prefix),
            11..14 => Self::Group(host, group),
            14 => Self::GroupOnEveryHost(group),
            _ => Self::All,
        }
    }

    /// As the oracle sees it: by rules of its own.
    fn covers(self, (host, path): Url) -> bool {
        match self {
            Self::Url((of, named)) => of == host && without_utm(named) == without_utm(path),
            Self::UrlOnEveryHost(named) => without_utm(named) == without_utm(path),
            Self::Path(of, named) => of == host && path.split('?').next() == Some(named),
            Self::Prefix(of, prefix) => of == host && is_below(path, prefix),
            Self::PrefixOnEveryHost(prefix) => is_below(path, prefix),
            Self::Group(of, group) => of == host && has_group(path, group),
            Self::GroupOnEveryHost(group) => has_group(path, group),
            Self::All => true,
        }
    }

    fn matcher(self) -> Matcher {
        let on = |host, path| format!("http://{host}{path}");
        let url = |url: &str| Matcher::Urls(Selector::url(url).expect(url));
        let prefix = |prefix: &str| Matcher::Urls(Selector::prefix(prefix).expect(prefix));
        match self {
            Self::Url((host, path)) => Matcher::target(on(host, path)),
            Self::UrlOnEveryHost(path) => url(path),
            Self::Path(host, path) => Matcher::path(on(host, path)),
            Self::Prefix(host, path) => prefix(&on(host, path)),
            Self::PrefixOnEveryHost(path) => prefix(path),
            Self::Group(host, group) => Matcher::tag(&on(host, ""), group),
            Self::GroupOnEveryHost(group) => Matcher::Tag {
                name: group.to_owned(),
                origin: None,
            },
            Self::All => Matcher::All,
        }
    }

    /// As the admin API takes it; `None` where it does not.
    fn parameter(self) -> Option<String> {
        let escaped = |path: &str| path.replace('&', "%26").replace('?', "%3F");
        Some(match self {
            Self::Url((host, path)) => format!("url=http://{host}{}", escaped(path)),
            Self::UrlOnEveryHost(path) => format!("url={}", escaped(path)),
            Self::Prefix(host, path) => format!("prefix=http://{host}{path}"),
            Self::PrefixOnEveryHost(path) => format!("prefix={path}"),
            Self::GroupOnEveryHost(group) => format!("group={group}"),
            Self::All => "all=true".to_owned(),
            Self::Path(..) | Self::Group(..) => return None,
        })
    }
}

/// An answer that has come: to what, what it must be at least, and what it is.
struct Answered {
    url: Url,
    least: u64,
    version: u64,
    is_hit: bool,
}

struct Walk {
    random: Random,
    api: Api,
    gateway: Arc<Gateway>,
    oracle: Oracle,
    sender: Sender<Answered>,
    answers: Receiver<Answered>,
    in_flight: usize,
    hits: usize,
    purged: usize,
    /// What is to be removed for purges that hold, and how often there was something.
    removals: Vec<Removal>,
    published: usize,
    seed: u64,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.map_or(otherwise, |value| value.parse().expect(name))
}

fn get_of((host, path): Url) -> Request {
    get(path).field("Host", host)
}

impl Walk {
    fn ask(&mut self) {
        while self.in_flight >= IN_FLIGHT {
            self.api.let_go(&mut self.random);
            self.take_answers();
            thread::yield_now();
        }
        let (host, (path, _)) = (self.random.of(&HOSTS), self.random.of(&PATHS));
        let url = (host, path);
        let least = self.oracle.least(url);
        let (gateway, sender) = (self.gateway.clone(), self.sender.clone());
        self.in_flight += 1;
        thread::spawn(move || {
            let answer = gateway.send(&get_of(url)).expect(200);
            let _ = sender.send(Answered {
                url,
                least,
                version: answer.text().parse().expect("a version"),
                is_hit: answer.is_hit(),
            });
        });
    }

    fn take_answers(&mut self) {
        while let Ok(answer) = self.answers.try_recv() {
            self.check(&answer);
        }
    }

    fn check(&mut self, answer: &Answered) {
        self.in_flight -= 1;
        self.hits += usize::from(answer.is_hit);
        assert!(
            answer.version >= answer.least,
            "PURGE_SEED={}: {:?} is answered with version {}, and {} was invalidated",
            self.seed,
            answer.url,
            answer.version,
            answer.least
        );
    }

    /// The next version of everything: what is fetched from now on is of it, or of a later one.
    fn next_version(&self) -> u64 {
        self.api.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn purge(&mut self) {
        let version = self.next_version();
        let count = 1 + self.random.below(2);
        let whats: Vec<What> = (0..count).map(|_| What::random(&mut self.random)).collect();
        let parameters: Option<Vec<_>> = whats.iter().map(|what| what.parameter()).collect();
        match parameters.filter(|_| self.random.below(2) == 0) {
            Some(parameters) => {
                let purge = request("POST", &format!("/purge?{}", parameters.join("&")));
                let answer = Client::to(self.gateway.admin_addr()).send(&purge);
                let text = answer.expect(200).text();
                self.purged += usize::from(!text.contains(":0"));
            }
            None => {
                let strength = self.random.of(&[Strength::Soft, Strength::Hard]);
                let covers = whats.iter().map(|what| what.matcher()).collect();
                let applied = self.gateway.apply(&Invalidation { covers, strength });
                self.purged += applied.resources;
            }
        }
        let covered = |url| whats.iter().any(|what| what.covers(url));
        self.oracle.invalidated(version, covered);
    }

    /// Purges, and leaves what is to be removed behind to a later step.
    fn purge_behind(&mut self) {
        let version = self.next_version();
        let count = 1 + self.random.below(2);
        let whats: Vec<_> = (0..count).map(|_| What::random(&mut self.random)).collect();
        let covers = whats.iter().map(|what| what.matcher()).collect();
        let strength = self
            .random
            .of(&[Strength::Soft, Strength::Hard, Strength::Hard]);
        let (applied, removal) = self.gateway.begin(&Invalidation { covers, strength });
        self.purged += applied.resources;
        self.published += usize::from(removal.is_some());
        self.removals.extend(removal);
        let covered = |url| whats.iter().any(|what| what.covers(url));
        self.oracle.invalidated(version, covered);
    }

    fn remove(&mut self) {
        if !self.removals.is_empty() {
            let nth = self.random.below(self.removals.len());
            self.gateway.remove(self.removals.swap_remove(nth));
        }
    }

    /// A write to a book: it covers itself and, by its route, the list with all queries; and a group, where its answer says so.
    fn write(&mut self) {
        let version = self.next_version();
        let host = self.random.of(&HOSTS);
        let group = self.random.of(&[None, Some("one"), Some("pages")]);
        let mut write = put("/books/1", "new").field("Host", host);
        if let Some(group) = group {
            write = write.field("X-Invalidates", format!("\"{group}\""));
        }
        self.gateway.send(&write).expect(204);
        self.oracle.invalidated(version, |url| {
            What::Url((host, "/books/1")).covers(url)
                || What::Path(host, "/books").covers(url)
                || group.is_some_and(|group| What::Group(host, group).covers(url))
        });
    }

    fn finish(&mut self) {
        while !self.removals.is_empty() {
            self.remove();
        }
        self.api.let_all_go();
        while self.in_flight > 0 {
            let answer = self.answers.recv().expect("an answer");
            self.check(&answer);
        }
        self.gateway.await_no_fills();
    }
}

#[test]
fn nothing_older_is_answered_after_an_invalidation_of_any_kind() {
    let steps = number("PURGE_STEPS", 500);
    let seed = number("PURGE_SEED", u64::from(std::process::id()));
    let api = Api::default();
    let origin = api.origin();
    let gateway = Gateway::before(&origin).route("/books/{id}", "invalidates = ['/books']");
    let gateway = Arc::new(gateway.start());
    gateway.publish_from(1);
    // What does not matter of a query is known before anything is invalidated by it.
    for host in HOSTS {
        gateway
            .send(&get_of((host, "/search?q=1&utm=1")))
            .expect(200);
    }
    api.holding.store(true, Ordering::SeqCst);
    let (sender, answers) = channel();
    let mut walk = Walk {
        random: Random(seed),
        api: api.clone(),
        gateway: gateway.clone(),
        oracle: Oracle::default(),
        sender,
        answers,
        in_flight: 0,
        hits: 0,
        purged: 0,
        removals: Vec::new(),
        published: 0,
        seed,
    };
    for _ in 0..steps {
        match walk.random.below(20) {
            0..11 => walk.ask(),
            11..16 => api.let_go(&mut walk.random),
            16 => walk.purge(),
            17 => match walk.random.below(2) {
                0 => walk.purge(),
                _ => walk.purge_behind(),
            },
            18 => walk.write(),
            _ => {
                walk.take_answers();
                walk.remove();
            }
        }
    }
    walk.finish();
    assert!(
        walk.hits > 0 && walk.purged > 0 && walk.published > 0,
        "nothing was tried: PURGE_SEED={seed}"
    );
    // What a preview says is what happens, and nothing is left of what is covered.
    for _ in 0..50 {
        for url in urls() {
            gateway.send(&get_of(url)).expect(200);
        }
        let what = What::random(&mut walk.random);
        let version = walk.next_version();
        let covers = vec![what.matcher()];
        for invalidation in [
            Invalidation::soft(covers.clone()),
            Invalidation::hard(covers),
        ] {
            let foreseen = gateway.preview(&invalidation);
            let applied = gateway.apply(&invalidation);
            let foreseen = (foreseen.sequence + 1, foreseen.resources, foreseen.bytes);
            let done = (applied.sequence, applied.resources, applied.bytes);
            assert_eq!(foreseen, done, "{invalidation}");
            let again = gateway.preview(&invalidation);
            assert_eq!((again.resources, again.bytes), (0, 0), "{invalidation}");
        }
        for url in urls() {
            let answer = gateway.send(&get_of(url)).expect(200);
            let is_new = answer.text().parse::<u64>().expect("a version") >= version;
            assert_eq!(is_new, what.covers(url), "{what:?}: {url:?}");
        }
    }
}
