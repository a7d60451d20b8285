//! A gateway at a known time before an origin with many pages, each with a script of its own: a table needs one of them,
//! not one for each row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bookend::semantics::time::Timestamp;

use super::{Answer, Gateway, Origin, Reply, Request, Setup, get, reply, request};

/// When the gateway's clock begins: Tue, 14 Nov 2023 22:13:20 GMT.
pub const START: u64 = 1_700_000_000;

/// Names and values of field lines.
pub type Lines<'a> = &'a [(&'a str, &'a str)];

type Script = Arc<dyn Fn(usize, &Request) -> Reply + Send + Sync>;

/// Of each page: how often it was asked for, and what it answers.
type Scripts = Arc<Mutex<HashMap<String, (usize, Script)>>>;

/// The HTTP-date so many seconds after [`START`].
pub fn at(secs: i64) -> String {
    Timestamp::from_secs(START.saturating_add_signed(secs)).to_http_date()
}

/// A 200 with these fields.
pub fn ok(lines: Lines<'_>) -> Reply {
    with(reply(200), lines).body("1984")
}

/// The reply with these fields too.
pub fn with(answer: Reply, lines: Lines<'_>) -> Reply {
    lines
        .iter()
        .fold(answer, |answer, (name, value)| answer.field(name, value))
}

pub struct Bench {
    scripts: Scripts,
    origin: Origin,
    pub gateway: Gateway,
}

/// A resource of the origin's.
pub struct Page<'a> {
    bench: &'a Bench,
    pub target: String,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(|setup| setup)
    }

    pub fn with(configure: impl FnOnce(Setup) -> Setup) -> Self {
        let scripts = Scripts::default();
        let known = scripts.clone();
        let origin = Origin::start(move |request, conn| {
            let script = {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                known.get_mut(&request.target).map(|(count, script)| {
                    *count += 1;
                    (*count, script.clone())
                })
            };
            match script {
                Some((nth, script)) => conn.reply(request, &script(nth, request)),
                None => conn.reply(request, &reply(404)),
            }
        });
        let setup = Gateway::before(&origin).manual_clock_at(Timestamp::from_secs(START));
        let gateway = configure(setup).start();
        Self {
            scripts,
            origin,
            gateway,
        }
    }

    /// A new page that answers the n-th request, counted from 1, as `script` says.
    pub fn page(
        &self,
        script: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static,
    ) -> Page<'_> {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let target = format!("/page/{}", scripts.len());
        scripts.insert(target.clone(), (0, Arc::new(script)));
        Page {
            bench: self,
            target,
        }
    }

    /// A new page that answers in this order, and then goes on with the last.
    pub fn answering(&self, replies: impl IntoIterator<Item = Reply>) -> Page<'_> {
        let replies: Vec<_> = replies.into_iter().collect();
        self.page(move |nth, _| replies[nth.min(replies.len()) - 1].clone())
    }

    /// A new page that validates: `update` to a condition, else `first`.
    pub fn validating(&self, first: Reply, update: Reply) -> Page<'_> {
        self.page(move |_, request| {
            let conditional =
                request.fields.has("if-none-match") || request.fields.has("if-modified-since");
            let answer = if conditional { &update } else { &first };
            answer.clone()
        })
    }

    /// Lets so many seconds pass.
    pub fn pass(&self, secs: u64) {
        self.gateway.advance(Duration::from_secs(secs));
    }
}

impl Page<'_> {
    pub fn get(&self) -> Answer {
        self.bench.gateway.get(&self.target)
    }

    /// A GET with these fields.
    pub fn ask(&self, lines: Lines<'_>) -> Answer {
        let request = lines
            .iter()
            .fold(get(&self.target), |request, (name, value)| {
                request.field(name, value)
            });
        self.send(&request)
    }

    pub fn request(&self, method: &str) -> Request {
        request(method, &self.target)
    }

    pub fn send(&self, request: &Request) -> Answer {
        self.bench.gateway.send(request)
    }

    /// What the origin was asked for this page.
    pub fn seen(&self) -> Vec<Request> {
        let all = self.bench.origin.requests().into_iter();
        all.filter(|request| request.target == self.target)
            .collect()
    }

    pub fn count(&self) -> usize {
        self.seen().len()
    }

    /// The last request for this page; panics when there was none.
    pub fn last(&self) -> Request {
        self.seen().pop().expect("the origin saw no such request")
    }
}

/// Which rows of a table did not hold: all of them are told, not the first alone.
#[derive(Default)]
pub struct Rows(Vec<String>);

impl Rows {
    pub fn check(&mut self, holds: bool, row: impl FnOnce() -> String) {
        if !holds {
            self.0.push(row());
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{}", self.0.join("\n"));
        }
    }
}

/// An answer in a line or two.
pub fn brief(answer: &Answer) -> String {
    let fields = answer.fields.0.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let (status, end, text) = (answer.status, answer.end, answer.text());
    format!("{status} [{}] {text:?} {end:?}", fields.join(" | "))
}
