//! Whatever a client sends on one connection, in whichever pieces and with whichever pauses: the origin gets exactly its
//! requests, in their order (DESIGN.md, invariant 9). `PROPTEST_CASES` sets how many connections are tried.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseResult, TestRunner};

use super::recorder::{Recorder, head_of, let_sleep, with_manual_deadlines};
use crate::common::{Client, End, Gateway, await_that, request};

/// Without `PROPTEST_CASES`; a few seconds.
const CASES: u32 = 64;

/// Answers that come before the content; the last has nothing to do with a refusal, and two have more than one head.
#[rustfmt::skip]
const EARLY: &[&str] = &[
    "HTTP/1.1 401 Unauthorized^Content-Length: 2^^no",
    "HTTP/1.1 404 Not Found^Transfer-Encoding: chunked^^2^no^0^^",
    "HTTP/1.1 308 Permanent Redirect^Location: /there^Content-Length: 0^^",
    "HTTP/1.1 204 No Content^^",
    "HTTP/1.1 103 Early Hints^Link: </a>^^HTTP/1.1 200 OK^Content-Length: 2^^ok",
    "HTTP/1.1 413 Content Too Large^Connection: close^Content-Length: 2^^no",
    "HTTP/1.1 103 Early Hints^Link: </a>^^",
    "HTTP/1.0 400 Bad Request^Content-Length: 2^^no",
];

#[derive(Clone, Debug)]
enum Content {
    None,
    Length(usize),
    /// Chunks of these sizes.
    Chunked(Vec<usize>),
}

/// One request.
#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    http10: bool,
    content: Content,
    expects: bool,
    early: Option<&'static str>,
}

/// What happens between two pieces of what the client sends.
#[derive(Clone, Copy, Debug)]
enum Pause {
    None,
    /// Long enough for an idle connection to give up its buffers.
    Sleep,
    /// The client reads each answer that must have come by now.
    Read,
}

/// One connection: what is sent on it, and in which pieces.
#[derive(Clone, Debug)]
struct Connection {
    exchanges: Vec<Exchange>,
    closes: bool,
    /// Where it is cut, in thousandths of an exchange.
    cuts: Vec<(usize, Pause)>,
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        1 => Just(Content::None),
        3 => (0..400usize).prop_map(Content::Length),
        3 => vec(1..120usize, 0..5).prop_map(Content::Chunked),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = select(&["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "GET", "REPORT"][..]);
    let early = proptest::option::weighted(0.6, select(EARLY));
    let rare = || proptest::bool::weighted(0.15);
    (method, rare(), content(), rare(), early).prop_map(
        |(method, http10, content, expects, early)| Exchange {
            method,
            // It has no chunks, and no interim responses.
            http10: http10 && !matches!(content, Content::Chunked(_)),
            expects: expects && !http10 && !matches!(content, Content::None),
            content,
            early,
        },
    )
}

fn connection() -> impl Strategy<Value = Connection> {
    let pause =
        prop_oneof![2 => Just(Pause::None), 3 => Just(Pause::Sleep), 3 => Just(Pause::Read)];
    let cuts = vec((0..1_000usize, pause), 1..6);
    (vec(exchange(), 1..4), any::<bool>(), cuts).prop_map(|(exchanges, closes, cuts)| Connection {
        exchanges,
        closes,
        cuts,
    })
}

/// So many octets that read as requests.
fn smuggling(length: usize) -> Vec<u8> {
    let request = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    request.iter().copied().cycle().take(length).collect()
}

impl Exchange {
    fn payload(&self) -> Vec<u8> {
        match &self.content {
            Content::None => Vec::new(),
            Content::Length(length) => smuggling(*length),
            Content::Chunked(sizes) => smuggling(sizes.iter().sum()),
        }
    }

    /// Its octets, and where its content begins in them.
    fn octets(&self, target: &str, closes: bool) -> (Vec<u8>, usize) {
        let mut head = request(self.method, target);
        if self.http10 {
            head = head.version("HTTP/1.0").field("Connection", "keep-alive");
        } else if closes {
            head = head.field("Connection", "close");
        }
        if let Some(early) = self.early {
            head = head.field("Early", early);
        }
        if self.expects {
            head = head.field("Expect", "100-continue");
        }
        let payload = self.payload();
        let mut content = Vec::new();
        match &self.content {
            Content::None => {}
            Content::Length(length) => {
                head = head.field("Content-Length", length);
                content.extend(payload);
            }
            Content::Chunked(sizes) => {
                head = head.field("Transfer-Encoding", "chunked");
                let mut rest = &payload[..];
                for size in sizes {
                    let (chunk, after) = rest.split_at(*size);
                    content.extend(format!("{size:x}\r\n").into_bytes());
                    content.extend(chunk);
                    content.extend(b"\r\n");
                    rest = after;
                }
                content.extend(b"0\r\n\r\n");
            }
        }
        let mut octets = head_of(&head).into_bytes();
        let begins = octets.len();
        octets.extend(content);
        (octets, begins)
    }

    /// Whether its answer comes before its content.
    fn is_answered_early(&self) -> bool {
        self.early.is_some_and(|early| !early.ends_with("</a>^^"))
    }
}

/// A client at work.
struct Run<'a> {
    client: Client,
    /// Method, and from which octet on its answer is due.
    due: Vec<(&'a str, usize)>,
    answered: usize,
    answers: Vec<String>,
    open: bool,
}

impl Run<'_> {
    fn read_what_is_due(&mut self, sent: usize) {
        while self.open
            && let Some((method, at)) = self.due.get(self.answered)
            && *at <= sent
        {
            let answer = self.client.answer(method).finish();
            assert_ne!(answer.end, End::Stalled, "an answer is due: {:?}", self.due);
            if answer.status == 0 {
                self.open = false;
                return;
            }
            self.answered += 1;
            self.answers
                .push(format!("{} {}", answer.status, answer.text()));
            let close = answer
                .field("connection")
                .is_some_and(|value| value == "close");
            self.open = !close && answer.end == End::Complete;
        }
    }
}

fn check(
    recorder: &Recorder,
    gateway: &Gateway,
    case: usize,
    connection: &Connection,
) -> TestCaseResult {
    let (mut octets, mut due, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let last = connection.exchanges.len() - 1;
    let (mut cuts, mut heads) = (Vec::new(), Vec::new());
    for (at, exchange) in connection.exchanges.iter().enumerate() {
        let target = format!("/{case}/{at}");
        let (message, content_at) = exchange.octets(&target, connection.closes && at == last);
        cuts.extend(
            connection
                .cuts
                .iter()
                .map(|(cut, pause)| (octets.len() + message.len() * cut / 1_000, *pause)),
        );
        heads.push(octets.len()..octets.len() + content_at);
        let answer_at = if exchange.is_answered_early() {
            content_at
        } else {
            message.len()
        };
        due.push((exchange.method, octets.len() + answer_at));
        lines.push(format!("{} {target}", exchange.method));
        octets.extend(message);
    }
    cuts.sort_by_key(|(at, _)| *at);
    let mut run = Run {
        client: gateway.client(),
        due,
        answered: 0,
        answers: Vec::new(),
        open: true,
    };
    let mut sent = 0;
    let prefix = format!(" /{case}/");
    for (at, pause) in cuts.into_iter().chain([(octets.len(), Pause::Read)]) {
        if !run.open {
            break;
        }
        run.client.write(&octets[sent..at]);
        sent = at;
        match pause {
            Pause::None => {}
            // A head has a deadline of its own, which is shorter here.
            Pause::Sleep
                if at == 0
                    || heads
                        .iter()
                        .any(|head| head.start < at && head.contains(&at)) => {}
            Pause::Sleep => {
                // The gateway has taken what was sent before its clock moves.
                run.read_what_is_due(sent);
                if run.open {
                    let begun = heads.iter().filter(|head| head.end <= at).count();
                    let count = || {
                        recorder
                            .lines()
                            .iter()
                            .filter(|line| line.contains(&prefix))
                            .count()
                    };
                    // It closes when content will not be read, as after `Expect` and a final answer.
                    let client = &mut run.client;
                    await_that("the origin has each head", || {
                        count() == begun || client.is_closed()
                    });
                    let_sleep(gateway);
                }
            }
            Pause::Read => run.read_what_is_due(sent),
        }
    }
    let received = recorder.received();
    let mine: Vec<_> = received
        .iter()
        .filter(|one| one.line.contains(&prefix))
        .collect();
    let strange = received
        .iter()
        .find(|one| one.line.contains("smuggled") || !one.line.contains(" /"));
    prop_assert!(
        strange.is_none(),
        "content was read as a request: {strange:?}"
    );
    let got: Vec<_> = mine.iter().map(|one| one.line.clone()).collect();
    prop_assert!(
        got.len() >= run.answered && lines.starts_with(&got),
        "sent {lines:?}, got {got:?}, answered {:?}",
        run.answers
    );
    for (one, exchange) in mine.iter().zip(&connection.exchanges) {
        let whole = one
            .content
            .as_deref()
            .is_none_or(|content| content == exchange.payload());
        prop_assert!(whole || exchange.method == "GET", "{one:?}");
    }
    // Without early answers there is no reason to close before the last one.
    if connection
        .exchanges
        .iter()
        .all(|exchange| exchange.early.is_none())
    {
        prop_assert_eq!(run.answered, lines.len());
    }
    Ok(())
}

#[test]
fn the_origin_gets_exactly_the_requests_that_were_sent() {
    let cases = std::env::var("PROPTEST_CASES").ok();
    let cases = cases.map_or(CASES, |cases| cases.parse().expect("a number"));
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 12,
        ..ProptestConfig::default()
    });
    let recorder = Recorder::start();
    let gateway = with_manual_deadlines(&recorder.origin).start();
    let case = std::cell::Cell::new(0);
    let outcome = runner.run(&connection(), |connection| {
        case.set(case.get() + 1);
        check(&recorder, &gateway, case.get(), &connection)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
