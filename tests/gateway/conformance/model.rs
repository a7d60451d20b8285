//! Random exchanges against a model of the rules: RFC 9111 §3 to §5 and RFC 5861 in a hundred lines, as a reader would put
//! them, whole seconds and one resource. What the gateway answers, and what it asks the API, has to be what the model says.

use std::sync::{Arc, Mutex};

use super::bench::{Bench, Page, at, brief, ok};
use crate::common::{Answer, Reply, Request, put, reply};

/// Numbers that look random and are the same each time (Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of seconds, one time in `n`.
    fn secs(&mut self, n: u64) -> Option<u64> {
        self.one_in(n).then(|| self.below(5) * 10)
    }
}

/// What the API says with each response.
#[derive(Clone, Debug, Default)]
struct Profile {
    max_age: Option<u64>,
    s_maxage: Option<u64>,
    /// After Date.
    expires: Option<u64>,
    flags: Vec<&'static str>,
    behind: Option<u64>,
    if_error: Option<u64>,
    age: Option<u64>,
    /// How far its Date is behind.
    late: u64,
    tag: Option<&'static str>,
    modified: bool,
}

impl Profile {
    fn throw(dice: &mut Dice) -> Self {
        let flags = [
            ("must-revalidate", 6),
            ("proxy-revalidate", 8),
            ("no-cache", 10),
            ("no-store", 12),
            ("private", 12),
            ("public", 4),
        ];
        Self {
            max_age: dice.secs(2),
            s_maxage: dice.secs(4),
            expires: dice.secs(4),
            flags: flags
                .into_iter()
                .filter_map(|(flag, n)| dice.one_in(n).then_some(flag))
                .collect(),
            behind: dice.secs(3),
            if_error: dice.secs(3),
            age: dice.secs(4),
            late: dice.secs(5).unwrap_or(0),
            tag: [None, Some(""), Some("W/")][dice.below(3) as usize],
            modified: dice.one_in(3),
        }
    }

    fn says(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    fn fields(&self, world: &World) -> Vec<(&'static str, String)> {
        let mut directives: Vec<_> = self.flags.iter().map(|flag| (*flag).to_owned()).collect();
        for (name, secs) in [
            ("max-age", self.max_age),
            ("s-maxage", self.s_maxage),
            ("stale-while-revalidate", self.behind),
            ("stale-if-error", self.if_error),
        ] {
            directives.extend(secs.map(|secs| format!("{name}={secs}")));
        }
        let date = world.now - self.late as i64;
        let mut fields = vec![
            ("Date", at(date)),
            ("X-Version", world.version.to_string()),
            ("Cache-Control", directives.join(", ")),
        ];
        fields.extend(self.expires.map(|secs| ("Expires", at(date + secs as i64))));
        fields.extend(self.age.map(|age| ("Age", age.to_string())));
        fields.extend(self.tag_of(world.version).map(|tag| ("ETag", tag)));
        fields.extend(
            self.modified_at(world.version)
                .map(|time| ("Last-Modified", time)),
        );
        fields
    }

    fn tag_of(&self, version: i64) -> Option<String> {
        self.tag.map(|weak| format!("{weak}\"{version}\""))
    }

    fn modified_at(&self, version: i64) -> Option<String> {
        self.modified.then(|| at(version * 10 - 1000))
    }

    /// §4.2.1, §4.2.2
    fn lifetime(&self, world: &World) -> u64 {
        let heuristic = || {
            let date = world.now - self.late as i64;
            let since = date - (world.version * 10 - 1000);
            self.modified.then_some(since.max(0) as u64 / 10)
        };
        let explicit = self.s_maxage.or(self.max_age).or(self.expires);
        explicit.or_else(heuristic).unwrap_or(0)
    }

    /// §4.2.3
    fn initial_age(&self) -> u64 {
        self.age.unwrap_or(0).max(self.late)
    }

    /// §5.2.2.2, §5.2.2.8, §5.2.2.10
    fn forbids_staleness(&self) -> bool {
        self.says("must-revalidate") || self.says("proxy-revalidate") || self.s_maxage.is_some()
    }

    /// §3, and that what can never be used need not be kept.
    fn is_stored(&self, world: &World) -> bool {
        let fresh = self.lifetime(world) > self.initial_age();
        let usable = if self.says("no-cache") {
            false
        } else if self.forbids_staleness() {
            fresh
        } else {
            self.lifetime(world) > 0 || self.behind > Some(0) || self.if_error > Some(0)
        };
        let refused = self.says("no-store") || self.says("private");
        !refused && (usable || self.tag.is_some() || self.modified)
    }
}

/// What the API is like at the moment.
#[derive(Debug)]
struct World {
    /// Seconds since the start.
    now: i64,
    version: i64,
    sick: bool,
    /// What it was asked since the model last looked.
    asked: Vec<Request>,
}

fn answer(profile: &Profile, world: &mut World, request: &Request) -> Reply {
    world.asked.push(request.clone());
    if world.sick {
        return reply(503);
    }
    if request.method == "PUT" {
        return reply(204);
    }
    let tag = profile.tag_of(world.version);
    let same = match request.fields.get("if-none-match") {
        Some(tags) => tag.is_some_and(|tag| names(tags, &tag)),
        None => {
            let since = request.fields.get("if-modified-since");
            since.is_some() && since == profile.modified_at(world.version).as_deref()
        }
    };
    let first = if same { reply(304) } else { ok(&[]) };
    let fields = profile.fields(world);
    fields
        .iter()
        .fold(first, |reply, (name, value)| reply.field(name, value))
}

/// Weak comparison.
fn names(tags: &str, tag: &str) -> bool {
    tags.trim_start_matches("W/") == tag.trim_start_matches("W/")
}

/// What a client asks for.
#[derive(Clone, Debug, Default)]
struct Ask {
    no_cache: bool,
    no_store: bool,
    only_if_cached: bool,
    max_age: Option<u64>,
    min_fresh: Option<u64>,
    max_stale: Option<u64>,
    if_error: Option<u64>,
    /// The version that it has.
    has: Option<i64>,
    range: bool,
}

impl Ask {
    fn throw(dice: &mut Dice, world: &World) -> Self {
        Self {
            no_cache: dice.one_in(8),
            no_store: dice.one_in(12),
            only_if_cached: dice.one_in(10),
            max_age: dice.secs(6),
            min_fresh: dice.secs(8),
            max_stale: dice.secs(6),
            if_error: dice.secs(8),
            has: dice.one_in(4).then(|| world.version - dice.below(2) as i64),
            range: dice.one_in(6),
        }
    }

    fn fields(&self, profile: &Profile) -> Vec<(&'static str, String)> {
        let mut directives = Vec::new();
        for (flag, set) in [
            ("no-cache", self.no_cache),
            ("no-store", self.no_store),
            ("only-if-cached", self.only_if_cached),
        ] {
            directives.extend(set.then(|| flag.to_owned()));
        }
        for (name, secs) in [
            ("max-age", self.max_age),
            ("min-fresh", self.min_fresh),
            ("max-stale", self.max_stale),
            ("stale-if-error", self.if_error),
        ] {
            directives.extend(secs.map(|secs| format!("{name}={secs}")));
        }
        let mut fields = Vec::new();
        if !directives.is_empty() {
            fields.push(("Cache-Control", directives.join(", ")));
        }
        let tag = self.has.and_then(|version| profile.tag_of(version));
        fields.extend(tag.map(|tag| ("If-None-Match", tag)));
        fields.extend(self.range.then(|| ("Range", "bytes=0-1".to_owned())));
        fields
    }
}

/// The stored response.
#[derive(Clone, Debug)]
struct Stored {
    version: i64,
    lifetime: u64,
    received: i64,
    /// When it may be validated behind again, and how often that has failed.
    due: i64,
    failures: u32,
}

impl Stored {
    /// It was validated behind in vain.
    fn fails(&mut self, now: i64) {
        self.due = now + 1 + (1 << self.failures);
        self.failures = (self.failures + 1).min(3);
    }
}

/// What is to happen.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// From the store, so old, so much fresher; and validated behind or not.
    Hit {
        age: u64,
        ttl: i64,
        behind: bool,
    },
    /// From upstream, if that is well.
    Asked,
    /// From the store, since upstream is not.
    StoodIn {
        age: u64,
    },
    Unwell,
    Unsatisfiable,
}

struct Model {
    profile: Profile,
    stored: Option<Stored>,
}

impl Model {
    fn expect(&self, world: &World, ask: &Ask) -> Expected {
        let asked = |otherwise| {
            if world.sick {
                otherwise
            } else {
                Expected::Asked
            }
        };
        let Some(stored) = &self.stored else {
            return match ask.only_if_cached {
                true => Expected::Unsatisfiable,
                false => asked(Expected::Unwell),
            };
        };
        let age = self.profile.initial_age() + (world.now - stored.received) as u64;
        let ttl = stored.lifetime as i64 - age as i64;
        if let Some(behind) = self.reuse(ask, age, ttl) {
            let behind = behind && world.now >= stored.due;
            return Expected::Hit { age, ttl, behind };
        }
        if ask.only_if_cached {
            return Expected::Unsatisfiable;
        }
        asked(match !ask.no_store && self.may_stand_in(ask, ttl) {
            true => Expected::StoodIn { age },
            false => Expected::Unwell,
        })
    }

    /// §4.2.4, §5.2.1: whether it may answer as it is, and is to be validated behind then.
    fn reuse(&self, ask: &Ask, age: u64, ttl: i64) -> Option<bool> {
        let profile = &self.profile;
        let young = ask.max_age.is_none_or(|most| most > 0 && age <= most);
        if profile.says("no-cache") || ask.no_cache || !young {
            return None;
        }
        if ttl > 0 {
            let lasts = ask.min_fresh.is_none_or(|least| ttl >= least as i64);
            return lasts.then_some(false);
        }
        if profile.forbids_staleness() || ask.min_fresh.is_some() {
            return None;
        }
        let stale_for = -ttl as u64;
        let accepted = ask.max_stale.is_some_and(|most| stale_for <= most);
        // RFC 5861 §3
        let within = profile.behind.is_some_and(|window| stale_for < window);
        if within && (accepted || ask.max_age.is_none()) {
            Some(true)
        } else {
            accepted.then_some(false)
        }
    }

    /// RFC 5861 §4
    fn may_stand_in(&self, ask: &Ask, ttl: i64) -> bool {
        let profile = &self.profile;
        if profile.says("no-cache") || (ttl <= 0 && profile.forbids_staleness()) {
            return false;
        }
        let stale_for = (-ttl).max(0) as u64;
        let within = |window: Option<u64>| window.is_some_and(|most| most > 0 && stale_for <= most);
        within(ask.if_error) || (!ask.no_cache && within(profile.if_error))
    }

    /// What a response, or a 304, leaves in the store.
    fn learn(&mut self, world: &World) {
        self.stored = self.profile.is_stored(world).then(|| Stored {
            version: world.version,
            lifetime: self.profile.lifetime(world),
            received: world.now,
            due: 0,
            failures: 0,
        });
    }
}

/// One resource, some exchanges. What went wrong, if anything.
fn run(bench: &Bench, seed: u64, now: &mut i64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let profile = Profile::throw(&mut dice);
    let world = Arc::new(Mutex::new(World {
        now: *now,
        version: 1,
        sick: false,
        asked: Vec::new(),
    }));
    let (shared, script) = (world.clone(), profile.clone());
    let page = bench.page(move |_, request| answer(&script, &mut shared.lock().unwrap(), request));
    let mut model = Model {
        profile,
        stored: None,
    };
    let mut trace = format!("{seed}: {:?}", model.profile);
    for _ in 0..12 {
        let secs = dice.below(4) * dice.below(12);
        bench.pass(secs);
        *now += secs as i64;
        let mut current = world.lock().unwrap();
        current.now = *now;
        current.version += i64::from(dice.one_in(4));
        current.sick = dice.one_in(5);
        trace += &format!("\n+{secs}s {current:?}, {:?}", model.stored);
        if dice.one_in(10) {
            let sick = current.sick;
            drop(current);
            page.send(&put(&page.target, "x"));
            trace += "\nPUT";
            world.lock().unwrap().asked.clear();
            if !sick {
                model.stored = None;
            }
            continue;
        }
        let ask = Ask::throw(&mut dice, &current);
        drop(current);
        trace += &format!("\n{ask:?}");
        exchange(bench, &page, &mut model, &world, &ask)
            .map_err(|why| format!("{trace}\n{why}\n"))?;
    }
    Ok(())
}

fn exchange(
    bench: &Bench,
    page: &Page<'_>,
    model: &mut Model,
    world: &Mutex<World>,
    ask: &Ask,
) -> Result<(), String> {
    let expected = model.expect(&world.lock().unwrap(), ask);
    let fields = ask.fields(&model.profile);
    let lines: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let found = page.ask(&lines);
    bench.gateway.await_no_fills();
    let mut world = world.lock().unwrap();
    let seen = std::mem::take(&mut world.asked);
    let old = model.stored.clone();
    let reached = match expected {
        Expected::Hit { behind, .. } => behind,
        Expected::Unsatisfiable => false,
        _ => true,
    };
    // §5.2.1.5: nothing of it is stored, whoever asks for it.
    if reached && !world.sick && !ask.no_store {
        model.learn(&world);
    }
    if let (Expected::Hit { behind: true, .. }, Some(stored)) = (&expected, &mut model.stored)
        && world.sick
    {
        stored.fails(world.now);
    }
    let version = match (&expected, &old) {
        (Expected::Hit { .. } | Expected::StoodIn { .. }, Some(old)) => old.version,
        _ => world.version,
    };
    let holds = answers(&found, &expected, ask, model, version)
        && seen.len() == usize::from(reached)
        && seen
            .iter()
            .all(|request| validates(request, old.as_ref(), ask, model));
    if holds {
        return Ok(());
    }
    Err(format!(
        "expected {expected:?} of version {version}\nfound {}\nasked {seen:?}",
        brief(&found)
    ))
}

/// Whether the answer is the expected one.
fn answers(found: &Answer, expected: &Expected, ask: &Ask, model: &Model, version: i64) -> bool {
    let tagged = model.profile.tag.is_some();
    let not_modified = tagged && ask.has == Some(version);
    let selected = match found.status {
        200 => !not_modified && !ask.range,
        206 => !not_modified && ask.range && found.text() == "19",
        304 => not_modified,
        _ => false,
    };
    let current = found.field("x-version") == Some(&*version.to_string());
    let ttl = found.number("ttl");
    match *expected {
        Expected::Unsatisfiable => found.status == 504,
        Expected::Unwell => found.status == 503,
        Expected::Hit { age, ttl: left, .. } => {
            selected && current && found.is_hit() && found.age() == Some(age) && ttl == Some(left)
        }
        Expected::StoodIn { age } => {
            selected && current && !found.is_hit() && found.age() == Some(age)
        }
        // What is not stored is answered by the origin, which knows no ranges, and may have been asked on no condition.
        Expected::Asked if ask.no_store || model.stored.is_none() => {
            let whole = found.status == 200 && current && found.text() == "1984";
            !found.is_hit() && (whole || (found.status == 304 && not_modified))
        }
        Expected::Asked => selected && current && !found.is_hit(),
    }
}

/// Whether what went upstream carries the stored response's validators, and none else (§4.3.1).
fn validates(request: &Request, old: Option<&Stored>, ask: &Ask, model: &Model) -> bool {
    if ask.no_store || model.stored.is_none() {
        return true;
    }
    let tag = old.and_then(|old| model.profile.tag_of(old.version));
    let modified = old.and_then(|old| model.profile.modified_at(old.version));
    request.fields.get("if-none-match") == tag.as_deref()
        && request.fields.get("if-modified-since") == modified.as_deref()
        && !request.fields.has("range")
}

#[test]
fn random_exchanges_go_as_the_rules_say() {
    let bench = Bench::new();
    let mut now = 0;
    let failures: Vec<_> = (1..100)
        .filter_map(|seed| run(&bench, seed, &mut now).err())
        .collect();
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures[..failures.len().min(3)].join("\n")
    );
}
