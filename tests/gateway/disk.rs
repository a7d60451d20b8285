//! The disk tier: what is stored outlives the gateway, and what was invalidated stays so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bookend::ledger::invalidation::{Invalidation, Matcher};
use bookend::semantics::time::Timestamp;
use tempfile::TempDir;

use crate::common::{Answer, Gate, Gateway, Origin, Request, Setup, get, reply, request};

const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// An API whose answers count how often they were asked for, with these fields, and a directory for what is kept.
struct Kept {
    origin: Origin,
    directory: TempDir,
}

impl Kept {
    fn before(fields: &'static [(&'static str, &'static str)]) -> Self {
        let count = Arc::<AtomicUsize>::default();
        Self::answering(move |asked| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = match asked.fields.get("if-none-match") {
                Some(_) => reply(304),
                None => reply(200),
            };
            let answer = fields
                .iter()
                .fold(answer, |answer, (name, value)| answer.field(name, *value));
            answer.body(format!("{} {number}", asked.target))
        })
    }

    fn answering(
        answer: impl Fn(&Request) -> crate::common::Reply + Send + Sync + 'static,
    ) -> Self {
        Self {
            origin: Origin::start(move |asked, conn| conn.reply(asked, &answer(asked))),
            directory: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A gateway that keeps what it stores, `later` than the first.
    fn setup(&self, later: Duration) -> Setup {
        let start = START.as_millis() + later.as_millis() as u64;
        Gateway::before(&self.origin)
            .manual_clock_at(Timestamp::from_millis(start))
            .more(&format!("[disk]\npath = {:?}", self.path()))
    }

    fn start(&self, later: Duration) -> Gateway {
        self.setup(later).start()
    }
}

/// Of all requests: the port of a gateway is another one each time, and part of the URL.
const HOST: &str = "books.example";

fn at(path: &str) -> Request {
    get(path).field("Host", HOST)
}

fn ask(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(&at(path))
}

const NOW: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

/// Waits until the loading of what is on disk has ended.
fn loaded(gateway: Gateway) -> Gateway {
    gateway.await_metric("bookend_disk_loading", 0);
    // However much else the machine has to do.
    gateway.wait_for_tiers(Duration::from_secs(60));
    gateway
}

fn is_from_disk(answer: &Answer) -> bool {
    answer.is_hit() && answer.says("detail=disk")
}

#[test]
fn what_was_stored_is_a_hit_after_a_restart_and_as_old_as_it_is() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
    let gateway = kept.start(NOW);
    assert_eq!(ask(&gateway, "/books/1").expect(200).text(), "/books/1 1");
    drop(gateway);
    let gateway = loaded(kept.start(20 * SECOND));
    let answer = ask(&gateway, "/books/1").expect(200);
    assert_eq!(answer.text(), "/books/1 1");
    assert!(is_from_disk(&answer), "{answer:?}");
    assert_eq!((answer.age(), answer.number("ttl")), (Some(20), Some(40)));
    // It is in memory now.
    let answer = ask(&gateway, "/books/1").expect(200);
    assert!(answer.is_hit() && !answer.says("detail=disk"), "{answer:?}");
    assert_eq!(kept.origin.count(), 1);
}

#[test]
fn what_is_stale_after_a_restart_is_validated_with_its_own_validator() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(61 * SECOND));
    let answer = ask(&gateway, "/books/1").expect(200);
    assert_eq!(answer.text(), "/books/1 1");
    assert!(
        answer.fwd("stale") && answer.says("fwd-status=304"),
        "{answer:?}"
    );
    drop(gateway);
    // What the 304 brought is kept, too.
    let gateway = loaded(kept.start(100 * SECOND));
    let answer = ask(&gateway, "/books/1").expect(200);
    assert!(is_from_disk(&answer), "{answer:?}");
    assert_eq!(answer.age(), Some(39));
}

#[test]
fn a_purge_holds_after_a_restart() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("Cache-Tag", "a")]);
    type Purge = fn(&str) -> Matcher;
    let purges: [(&str, Purge); 4] = [
        ("/url", |url| Matcher::target(url)),
        ("/path?q=1", |url| {
            Matcher::path(url.split('?').next().expect("a path"))
        }),
        ("/all", |_| Matcher::All),
        ("/tag", |url| {
            Matcher::tag(&url[..url.rfind('/').expect("a path")], "a")
        }),
    ];
    for (path, matcher) in purges {
        let start = || {
            let setup = kept.setup(NOW).cache("tag_fields = [\"cache-tag\"]");
            loaded(setup.start())
        };
        let gateway = start();
        let first = ask(&gateway, path).expect(200).text();
        gateway.apply(&Invalidation::hard(vec![matcher(&format!(
            "http://{HOST}{path}"
        ))]));
        drop(gateway);
        let gateway = start();
        let again = ask(&gateway, path).expect(200);
        assert!(
            again.fwd("uri-miss") && again.text() != first,
            "{path}: {again:?}"
        );
    }
}

#[test]
fn a_soft_purge_has_it_validated_after_a_restart() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    gateway.apply(&Invalidation::soft(vec![Matcher::All]));
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let answer = ask(&gateway, "/books/1").expect(200);
    assert!(answer.says("fwd-status=304"), "{answer:?}");
    assert_eq!(answer.text(), "/books/1 1");
}

#[test]
fn a_write_holds_after_a_restart() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let gateway = kept.start(NOW);
    let first = ask(&gateway, "/books/1").expect(200).text();
    ask(&gateway, "/books/2").expect(200);
    gateway
        .send(&request("PUT", "/books/1").field("Host", HOST).body("new"))
        .expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let again = ask(&gateway, "/books/1").expect(200);
    assert!(again.fwd("uri-miss") && again.text() != first, "{again:?}");
    assert!(is_from_disk(&ask(&gateway, "/books/2").expect(200)));
}

#[test]
fn a_response_that_may_not_be_stored_takes_away_what_was_kept() {
    let count = Arc::<AtomicUsize>::default();
    let kept = Kept::answering(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => reply(200)
            .field("Cache-Control", "max-age=60")
            .body("shared"),
        _ => reply(200).field("Cache-Control", "no-store").body("not"),
    });
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    let reload = at("/books/1").field("Cache-Control", "no-cache");
    assert_eq!(gateway.send(&reload).expect(200).text(), "not");
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    assert_eq!(ask(&gateway, "/books/1").expect(200).text(), "not");
}

#[test]
fn each_variant_is_kept_and_none_answers_for_another() {
    let kept = Kept::answering(|asked| {
        let language = asked.fields.get("accept-language");
        let language = language.map_or_else(|| "none".to_owned(), ToString::to_string);
        let answer = reply(200).field("Cache-Control", "max-age=60");
        answer.field("Vary", "Accept-Language").body(language)
    });
    let asked = |language: &str| at("/books/1").field("Accept-Language", language.to_owned());
    let gateway = kept.start(NOW);
    for language in ["de", "en"] {
        gateway.send(&asked(language)).expect(200);
    }
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    for (language, is_kept) in [("fr", false), ("en", true), ("de", true)] {
        let answer = gateway.send(&asked(language)).expect(200);
        assert_eq!(answer.text(), language);
        assert_eq!(answer.is_hit(), is_kept, "{answer:?}");
    }
}

#[test]
fn what_is_selected_by_credentials_is_not_kept() {
    let kept = Kept::before(&[("Cache-Control", "public, max-age=60"), ("Vary", "Cookie")]);
    let asked = at("/books/1").field("Cookie", "session=sesame");
    let gateway = kept.start(NOW);
    gateway.send(&asked).expect(200);
    assert!(gateway.send(&asked).expect(200).is_hit());
    drop(gateway);
    for file in std::fs::read_dir(kept.path()).expect("a folder") {
        let octets = std::fs::read(file.expect("a file").path()).expect("its content");
        assert!(!octets.windows(6).any(|at| at == b"sesame"));
    }
    let gateway = loaded(kept.start(SECOND));
    assert!(!gateway.send(&asked).expect(200).is_hit());
}

#[test]
fn a_crowd_after_a_restart_has_it_read_once() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert!(ask(&gateway, "/books/1").expect(200).is_hit()));
        }
    });
    assert_eq!(kept.origin.count(), 1);
}

#[test]
fn a_second_gateway_is_refused_the_directory() {
    let kept = Kept::before(&[]);
    let _first = kept.start(NOW);
    let config = format!(
        "[server]\nlisten = '127.0.0.1:0'\n[upstream]\nservers = [{:?}]\n[admin]\nlisten = 'off'\n[disk]\npath = {:?}",
        kept.origin.url(),
        kept.path()
    );
    let config = bookend::config::Config::parse(&config, "the test", &|_| None).expect("a file");
    let clock = bookend::clock::Clock::system();
    let error = bookend::instance::Instance::bind(config, clock).expect_err("a refusal");
    let text = error.to_string();
    let names = kept.path().display().to_string();
    assert!(
        text.contains("another process") && text.contains(&names),
        "{text}"
    );
}

#[test]
fn what_memory_had_to_evict_is_read_from_disk() {
    let kept = Kept::answering(|asked| {
        let body = format!("{}{}", asked.target, "x".repeat(60_000));
        reply(200).field("Cache-Control", "max-age=60").body(body)
    });
    let setup = || {
        let disk = format!("[disk]\npath = {:?}\nindex_memory = \"1MiB\"", kept.path());
        Gateway::before(&kept.origin)
            .cache("memory = \"8MiB\"")
            .more(&disk)
    };
    let gateway = loaded(setup().start());
    for n in 0..200 {
        ask(&gateway, &format!("/books/{n}")).expect(200);
        gateway.await_metric("bookend_disk_queued_bytes", 0);
    }
    assert!(gateway.metric("bookend_evictions_total") > 50);
    // On one connection: what was sent on others may still take of the memory that there is.
    let mut client = gateway.client();
    for n in 0..200 {
        let answer = client.send(&at(&format!("/books/{n}"))).expect(200);
        assert!(answer.is_hit(), "{n}: {}", answer.cache_status());
        assert!(answer.text().starts_with(&format!("/books/{n}x")));
    }
    assert_eq!(kept.origin.count(), 200);
}

#[test]
fn explain_says_that_the_disk_tier_has_something() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let explain = |path: &str| {
        let mut client = crate::common::Client::to(gateway.admin_addr());
        let answer = client.get(&format!("/explain?url=http://{HOST}{path}"));
        answer.expect(200).text()
    };
    assert!(explain("/books/1").contains("the disk tier has something"));
    assert!(!explain("/books/2").contains("the disk tier"));
    ask(&gateway, "/books/1").expect(200);
    assert!(!explain("/books/1").contains("the disk tier"));
}

#[test]
fn a_field_that_has_come_to_be_a_credential_keeps_others_from_what_it_was_answered_with() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let asked = at("/books/1").field("X-Api-Key", "mine");
    let gateway = kept.start(NOW);
    let mine = gateway.send(&asked).expect(200).text();
    drop(gateway);
    let setup = kept.setup(SECOND);
    let gateway = loaded(setup.cache("credential_fields = [\"X-Api-Key\"]").start());
    assert_ne!(ask(&gateway, "/books/1").expect(200).text(), mine);
}

#[test]
fn what_is_taken_away_before_it_has_been_written_does_not_come_back() {
    let kept = Kept::answering(|asked| {
        // It takes a while to be written.
        let reloads = asked.fields.get("cache-control").is_some();
        let control = if reloads { "no-store" } else { "max-age=60" };
        let body = "x".repeat(3_000_000);
        reply(200).field("Cache-Control", control).body(body)
    });
    let gateway = kept.start(NOW);
    let mut client = gateway.client();
    for n in 0..5 {
        let path = format!("/books/{n}");
        client.send(&at(&path)).expect(200);
        let reload = at(&path).field("Cache-Control", "no-cache");
        client.send(&reload).expect(200);
    }
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    for n in 0..5 {
        let answer = ask(&gateway, &format!("/books/{n}")).expect(200);
        assert!(!answer.is_hit(), "{n}: {}", answer.cache_status());
    }
}

#[test]
fn a_response_for_all_that_has_come_to_vary_does_not_outlive_what_replaced_it() {
    let count = Arc::<AtomicUsize>::default();
    let kept = Kept::answering(move |_| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        match count.fetch_add(1, Ordering::SeqCst) {
            0 => answer.body("for all"),
            n => answer
                .field("Vary", "Accept-Language")
                .body(format!("varies {n}")),
        }
    });
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    let reload = at("/books/1").field("Cache-Control", "no-cache");
    assert_eq!(gateway.send(&reload).expect(200).text(), "varies 1");
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let german = at("/books/1").field("Accept-Language", "de");
    assert_eq!(gateway.send(&german).expect(200).text(), "varies 2");
    assert_eq!(ask(&gateway, "/books/1").expect(200).text(), "varies 1");
}

/// What a request after a restart for what was stored before must be answered with.
type Right = (&'static str, Request, fn(&Answer) -> bool, usize);

#[test]
fn what_is_on_disk_answers_every_kind_of_request_as_memory_does() {
    let asked = || at("/books/1");
    let head = request("HEAD", "/books/1").field("Host", HOST);
    let control = |value: &str| asked().field("Cache-Control", value);
    #[rustfmt::skip]
    let rows: [Right; 6] = [
        ("HEAD", head, |it| it.status == 200 && it.field("content-length") == Some("10") && is_from_disk(it), 0),
        ("a range", asked().field("Range", "bytes=1-5"), |it| it.status == 206 && it.text() == "books" && is_from_disk(it), 0),
        ("a range beyond", asked().field("Range", "bytes=10-"), |it| it.status == 416, 0),
        ("conditional", asked().field("If-None-Match", "\"1\""), |it| it.status == 304 && is_from_disk(it), 0),
        ("only-if-cached", control("only-if-cached"), |it| it.status == 200 && is_from_disk(it), 0),
        ("no-cache", control("no-cache"), |it| it.status == 200 && it.says("fwd-status=304") && it.text() == "/books/1 1", 1),
    ];
    for (what, asked, is_right, requests) in rows {
        let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
        let gateway = kept.start(NOW);
        ask(&gateway, "/books/1").expect(200);
        drop(gateway);
        let gateway = loaded(kept.start(SECOND));
        let answer = gateway.send(&asked);
        assert!(is_right(&answer), "{what}: {answer:?}");
        assert_eq!(kept.origin.count(), 1 + requests, "{what}");
    }
}

#[test]
fn only_if_cached_is_refused_where_the_disk_has_nothing_that_may_be_used() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(61 * SECOND));
    for path in ["/books/1", "/books/2"] {
        let asked = at(path).field("Cache-Control", "only-if-cached");
        gateway.send(&asked).expect(504);
    }
    assert_eq!(kept.origin.count(), 1);
}

#[test]
fn an_answer_to_head_that_differs_holds_after_a_restart() {
    let kept = Kept::answering(|asked| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        match &*asked.method {
            "HEAD" => answer.field("ETag", "\"2\"").body("another one"),
            _ => answer.field("ETag", "\"1\"").body("one"),
        }
    });
    let gateway = kept.start(NOW);
    ask(&gateway, "/books/1").expect(200);
    let head = request("HEAD", "/books/1").field("Host", HOST);
    gateway
        .send(&head.field("Cache-Control", "no-cache"))
        .expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let answer = ask(&gateway, "/books/1").expect(200);
    assert!(!answer.is_hit(), "{answer:?}");
}

#[test]
fn the_answer_to_each_query_is_kept_for_its_own_content() {
    let kept = Kept::answering(|asked| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        answer.body(format!("answer to {}", asked.text()))
    });
    let asked = |content: &str| {
        let query = request("QUERY", "/books").field("Host", HOST);
        query.field("Content-Type", "text/plain").body(content)
    };
    let gateway = kept.start(NOW);
    for content in ["one", "two"] {
        gateway.send(&asked(content)).expect(200);
    }
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    for (content, is_kept) in [("three", false), ("two", true), ("one", true)] {
        let answer = gateway.send(&asked(content)).expect(200);
        assert_eq!(answer.text(), format!("answer to {content}"));
        assert_eq!(answer.is_hit(), is_kept, "{content}: {answer:?}");
    }
    assert!(!ask(&gateway, "/books").expect(200).is_hit());
}

#[test]
fn what_was_asked_for_before_a_purge_and_comes_after_it_is_not_there_after_a_restart() {
    let gate = Gate::new();
    let slow = gate.clone();
    let kept = Kept::answering(move |_| {
        slow.pass();
        reply(200).field("Cache-Control", "max-age=60").body("old")
    });
    let gateway = kept.start(NOW);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ask(&gateway, "/books/1").expect(200).text());
        gate.await_arrivals(1);
        gateway.apply(&Invalidation::hard(vec![Matcher::All]));
        gate.open();
        assert_eq!(first.join().expect("a client"), "old");
    });
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    assert!(!ask(&gateway, "/books/1").expect(200).is_hit());
    assert_eq!(kept.origin.count(), 2);
}

#[test]
fn what_memory_has_no_room_for_is_fetched_though_it_is_on_disk() {
    let body = "x".repeat(6_000_000);
    let kept = Kept::answering(move |_| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        answer.body(body.clone())
    });
    let gateway = kept.setup(NOW).cache("memory = \"256MiB\"").start();
    ask(&gateway, "/books/1").expect(200);
    drop(gateway);
    let disk = format!("[disk]\npath = {:?}\nindex_memory = \"1MiB\"", kept.path());
    let small = Gateway::before(&kept.origin)
        .manual_clock_at(START)
        .cache("memory = \"8MiB\"")
        .more(&disk);
    let gateway = loaded(small.start());
    // Half of it is taken by others.
    for n in 2..40 {
        ask(&gateway, &format!("/books/{n}")).expect(200);
    }
    let before = kept.origin.count();
    let answer = ask(&gateway, "/books/1").expect(200);
    assert_eq!(answer.body.len(), 6_000_000);
    let fetched = kept.origin.count() - before;
    assert_eq!(usize::from(!answer.is_hit()), fetched, "{answer:?}");
}

#[test]
fn a_tier_that_takes_too_long_is_not_waited_for() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let gateway = kept.start(NOW);
    let before = ask(&gateway, "/books/1").expect(200).text();
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    gateway.wait_for_tiers(Duration::ZERO);
    let answer = ask(&gateway, "/books/1").expect(200);
    // It may have been there at once.
    assert_eq!(answer.is_hit(), answer.text() == before, "{answer:?}");
    // Whichever came later stays.
    let again = ask(&gateway, "/books/1").expect(200);
    assert!(again.is_hit() && again.text() == answer.text(), "{again:?}");
}

#[test]
fn a_purge_by_a_tag_holds_after_the_settings_have_come_to_read_no_such_tag() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("Cache-Tag", "a")]);
    let tagged = kept
        .setup(NOW)
        .cache("tag_fields = [\"cache-tag\"]")
        .start();
    let first = ask(&tagged, "/books/1").expect(200).text();
    let tag = Matcher::tag(&format!("http://{HOST}"), "a");
    tagged.apply(&Invalidation::hard(vec![tag]));
    drop(tagged);
    let gateway = loaded(kept.start(SECOND));
    assert_ne!(ask(&gateway, "/books/1").expect(200).text(), first);
}

#[test]
fn what_was_to_be_validated_still_is_after_a_reload() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60"), ("ETag", "\"1\"")]);
    let gateway = kept.start(NOW);
    for path in ["/books/1", "/books/2"] {
        ask(&gateway, path).expect(200);
    }
    gateway.apply(&Invalidation::soft(vec![Matcher::All]));
    let reloaded = kept.setup(NOW).cache("ttl = \"2m\"");
    gateway.reload(&reloaded);
    let in_memory = ask(&gateway, "/books/1").expect(200);
    assert!(in_memory.says("fwd-status=304"), "{in_memory:?}");
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    // It is in memory from here on.
    let head = crate::common::head("/books/2").field("Host", HOST);
    gateway
        .send(&head.field("Cache-Control", "only-if-cached"))
        .expect(504);
    gateway.reload(&reloaded);
    let raised = ask(&gateway, "/books/2").expect(200);
    assert!(raised.says("fwd-status=304"), "{raised:?}");
}

#[test]
fn values_of_cookies_in_a_key_are_not_written() {
    let kept = Kept::before(&[("Cache-Control", "max-age=60")]);
    let asked = at("/books/1").field("Cookie", "session=sesame");
    let setup = || {
        let route = "key_cookies = [\"session\"]";
        kept.setup(NOW).route("/books/{id}", route).start()
    };
    let gateway = setup();
    gateway.send(&asked).expect(200);
    assert!(gateway.send(&asked).expect(200).is_hit());
    drop(gateway);
    for file in std::fs::read_dir(kept.path()).expect("a folder") {
        let octets = std::fs::read(file.expect("a file").path()).expect("its content");
        assert!(!octets.windows(6).any(|at| at == b"sesame"));
    }
}

#[test]
fn what_was_fetched_for_one_page_is_not_for_another_after_a_restart() {
    let kept = Kept::answering(|asked| {
        let answer = reply(200).field("Cache-Control", "max-age=60");
        // It does CORS, but not for this book.
        match asked.target.as_str() {
            "/books/2" => answer.field("Access-Control-Allow-Origin", "*").body("2"),
            _ => answer.body("1"),
        }
    });
    let page = |path: &str, origin: &str| at(path).field("Origin", origin.to_owned());
    let gateway = kept.start(NOW);
    gateway
        .send(&page("/books/1", "https://a.example"))
        .expect(200);
    gateway
        .send(&page("/books/2", "https://a.example"))
        .expect(200);
    drop(gateway);
    let gateway = loaded(kept.start(SECOND));
    let other = gateway
        .send(&page("/books/1", "https://b.example"))
        .expect(200);
    assert!(!other.is_hit(), "{}", other.cache_status());
}
