//! Cross-origin requests to APIs that do not name Origin in Vary each time: what a page may read of the API's answer it
//! may read of ours.

use std::time::Duration;

use super::asking;
use crate::common::{Answer, Gateway, Origin, Reply, Request, reply};

/// How an API does CORS, as its middleware answers a simple request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    /// None at all.
    None,
    /// express `cors()`, and many by hand: `*` to everybody.
    Star,
    /// The same with credentials, and only to who sends an Origin.
    StarWithCredentials,
    /// json-server, `cors({ origin: true, credentials: true })`: reflects, and always says Vary.
    Reflecting,
    /// By hand: reflects, and never says Vary.
    ReflectingWithoutVary,
    /// One origin, told to everybody.
    Fixed,
    /// Starlette's and FastAPI's CORSMiddleware with a list: nothing without an Origin, Vary only with a listed one.
    Listed,
    /// The same with `allow_origins=["*"]`: `*`, but the origin itself where there is a cookie.
    ListedAll,
    /// flask-cors with a list: nothing at all for an origin that is not listed.
    Flask,
    /// flask-cors with one origin: told to that and to who sends none, and no Vary.
    FlaskWithOne,
    /// By hand: the listed origin, or else the first of the list, and no Vary.
    FirstOrListed,
    /// By hand: the listed origin with credentials, and `*` to who sends none.
    ListedOrStar,
    /// Express with a list, as most write it: Vary always.
    ListedWithVary,
}

const APIS: [Api; 12] = [
    Api::None,
    Api::Star,
    Api::StarWithCredentials,
    Api::Reflecting,
    Api::ReflectingWithoutVary,
    Api::Fixed,
    Api::Listed,
    Api::ListedAll,
    Api::Flask,
    Api::FlaskWithOne,
    Api::FirstOrListed,
    Api::ListedWithVary,
];

const APP: &str = "https://app.test";
const SHOP: &str = "https://shop.test";
const STRANGER: &str = "https://stranger.test";

impl Api {
    fn fields(self, request: &Request) -> Vec<(&'static str, String)> {
        let origin = request.fields.get("origin").map(str::to_owned);
        let listed = origin
            .clone()
            .filter(|origin| origin == APP || origin == SHOP);
        let cookie = request.fields.has("cookie");
        let allow =
            |origin: Option<String>| origin.map(|origin| ("Access-Control-Allow-Origin", origin));
        let vary = || Some(("Vary", "Origin".to_owned()));
        let credentials = || Some(("Access-Control-Allow-Credentials", "true".to_owned()));
        let star = || Some("*".to_owned());
        let lines = match self {
            Self::None => vec![],
            Self::Star => vec![allow(star())],
            Self::StarWithCredentials if origin.is_none() => vec![],
            Self::StarWithCredentials if cookie => vec![allow(origin), credentials(), vary()],
            Self::StarWithCredentials => vec![allow(star()), credentials()],
            Self::Reflecting => vec![allow(origin), credentials(), vary()],
            Self::ReflectingWithoutVary => vec![allow(origin), credentials()],
            Self::Fixed => vec![allow(Some(APP.to_owned())), credentials()],
            Self::Listed if listed.is_some() => vec![allow(listed), vary()],
            Self::Listed if origin.is_some() => {
                vec![Some((
                    "Access-Control-Expose-Headers",
                    "X-Total".to_owned(),
                ))]
            }
            Self::Listed => vec![],
            Self::ListedAll if origin.is_none() => vec![],
            Self::ListedAll if cookie => vec![allow(origin), vary()],
            Self::ListedAll => vec![allow(star())],
            Self::Flask if listed.is_some() => vec![allow(listed), vary()],
            Self::Flask => vec![],
            Self::FlaskWithOne if origin.is_none() || origin.as_deref() == Some(APP) => {
                vec![allow(Some(APP.to_owned()))]
            }
            Self::FlaskWithOne => vec![],
            Self::FirstOrListed => vec![allow(listed.or(Some(APP.to_owned())))],
            Self::ListedOrStar if origin.is_none() => vec![allow(star())],
            Self::ListedOrStar if listed.is_some() => vec![allow(listed), credentials()],
            Self::ListedOrStar => vec![],
            Self::ListedWithVary => vec![allow(listed), vary()],
        };
        lines.into_iter().flatten().collect()
    }

    fn reply(self, request: &Request, tagged: bool) -> Reply {
        let fresh = tagged && request.fields.get("if-none-match") == Some("\"a\"");
        let answer = if fresh {
            reply(304)
        } else {
            reply(200).body("1984")
        };
        let answer = answer.field("Cache-Control", "public, max-age=10");
        let answer = if tagged {
            answer.field("ETag", "\"a\"")
        } else {
            answer
        };
        let fields = self.fields(request).into_iter();
        fields.fold(answer, |answer, (name, value)| answer.field(name, value))
    }

    fn start(self, tagged: bool) -> Origin {
        Origin::start(move |request, conn| conn.reply(request, &self.reply(request, tagged)))
    }
}

fn from(origin: Option<&str>, cookie: bool) -> Request {
    let lines = [("Origin", origin), ("Cookie", cookie.then_some("a=b"))];
    let lines: Vec<_> = lines
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)))
        .collect();
    asking("GET", "/a", &lines)
}

/// Whether a page of this origin may read a response with these fields (Fetch, "CORS check"), with credentials or not.
fn may_read<'a>(
    origin: &str,
    with_credentials: bool,
    mut fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> bool {
    let mut allowed = fields
        .clone()
        .filter(|(name, _)| name.eq_ignore_ascii_case("access-control-allow-origin"));
    let (Some((_, allowed)), None) = (allowed.next(), allowed.next()) else {
        return false;
    };
    let credentials = fields.any(|(name, value)| {
        name.eq_ignore_ascii_case("access-control-allow-credentials") && value == "true"
    });
    match with_credentials {
        true => allowed == origin && credentials,
        false => allowed == origin || allowed == "*",
    }
}

fn reads(answer: &Answer, origin: &str, with_credentials: bool) -> bool {
    let lines = answer.fields.0.iter();
    let lines = lines.map(|(name, value)| (&**name, &**value));
    may_read(origin, with_credentials, lines)
}

/// What the same page could read of the API's own answer.
fn reads_directly(api: Api, request: &Request, origin: &str, with_credentials: bool) -> bool {
    let fields = api.fields(request);
    let lines = fields.iter().map(|(name, value)| (*name, &**value));
    may_read(origin, with_credentials, lines)
}

#[test]
fn a_page_may_read_through_the_gateway_what_it_may_read_directly() {
    let clients = [
        (None, false),
        (Some(APP), false),
        (Some(SHOP), false),
        (Some(STRANGER), false),
        (Some(APP), true),
    ];
    for api in APIS {
        let origin = api.start(true);
        let gateway = Gateway::before(&origin).manual_clock().start();
        let mut client = gateway.client();
        // That the API has CORS is known of another URL.
        client.send(&asking("GET", "/other", &[("Origin", APP)]));
        for (url, (first, second)) in pairs(&clients).enumerate() {
            // Then each once more, with what is stored stale by then, and once more after a validation by one of them.
            let again = clients.into_iter().chain(clients);
            for (round, (page, cookie)) in [first, second].into_iter().chain(again).enumerate() {
                if round == 4 {
                    gateway.advance(Duration::from_secs(11));
                }
                if round == 2 + clients.len() {
                    let (page, cookie) = clients[url % clients.len()];
                    for method in ["GET", "HEAD"] {
                        let mut request = from(page, cookie).field("Cache-Control", "no-cache");
                        request.target = format!("/{url}");
                        request.method = method.to_owned();
                        client.send(&request).expect(200);
                    }
                }
                let mut request = from(page, cookie);
                request.target = format!("/{url}");
                let answer = client.send(&request).expect(200);
                let Some(page) = page else { continue };
                for with_credentials in [false, true] {
                    let directly = |cookie| {
                        let request = from(Some(page), cookie);
                        reads_directly(api, &request, page, with_credentials)
                    };
                    // What it gets with a cookie it may also get without, where the API says `public`.
                    let reads = reads(&answer, page, with_credentials);
                    assert!(
                        reads == directly(cookie) || reads == directly(true),
                        "{api:?} {first:?} {second:?} {round}: {page} {cookie} {with_credentials}: \
                         {answer:#?}"
                    );
                }
            }
        }
    }
}

type Page = (Option<&'static str>, bool);

/// Every two of them, in either order.
fn pairs(clients: &[Page]) -> impl Iterator<Item = (Page, Page)> {
    let all = clients
        .iter()
        .flat_map(|one| clients.iter().map(|other| (*one, *other)));
    all.filter(|(one, other)| one != other)
}

#[test]
fn an_api_without_cors_has_one_variant_for_all_origins() {
    for tagged in [false, true] {
        let origin = Api::None.start(tagged);
        let gateway = Gateway::before(&origin).start();
        gateway.send(&from(None, false)).expect(200);
        // Once it has to be asked whether it has.
        assert!(gateway.send(&from(Some(APP), false)).fwd("vary-miss"));
        for page in [
            None,
            Some(APP),
            Some(SHOP),
            Some("null"),
            None,
            Some(STRANGER),
        ] {
            let answer = gateway.send(&from(page, false)).expect(200);
            assert!(answer.is_hit(), "{page:?}: {}", answer.cache_status());
        }
        assert_eq!(origin.count(), 2);
        // One who sends an Origin first tells it at once.
        gateway
            .send(&asking("GET", "/b", &[("Origin", APP)]))
            .expect(200);
        for page in [Some(SHOP), None, Some(STRANGER)] {
            let mut request = from(page, false);
            request.target = "/b".to_owned();
            assert!(gateway.send(&request).expect(200).is_hit(), "{page:?}");
        }
    }
}

#[test]
fn that_an_api_has_no_cors_outlives_a_refresh_by_who_sends_no_origin() {
    for tagged in [false, true] {
        let origin = Api::None.start(tagged);
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.send(&from(Some(APP), false)).expect(200);
        gateway.advance(Duration::from_secs(11));
        assert!(gateway.send(&from(None, false)).fwd("stale"));
        assert!(gateway.send(&from(Some(SHOP), false)).is_hit(), "{tagged}");
    }
}

#[test]
fn what_allows_every_origin_is_one_variant() {
    let origin = Api::Star.start(false);
    let gateway = Gateway::before(&origin).start();
    gateway.send(&from(None, false)).expect(200);
    for page in [Some(APP), Some(STRANGER), None] {
        assert!(gateway.send(&from(page, false)).expect(200).is_hit());
    }
}

#[test]
fn an_unlisted_origin_takes_cors_away_from_nobody() {
    for api in [Api::Flask, Api::Listed] {
        let origin = api.start(true);
        let gateway = Gateway::before(&origin).start();
        for page in [APP, STRANGER, SHOP, STRANGER, APP, "null", SHOP] {
            let answer = gateway.send(&from(Some(page), false)).expect(200);
            let listed = page == APP || page == SHOP;
            assert_eq!(reads(&answer, page, false), listed, "{api:?} {page}");
            assert!(gateway.send(&from(Some(page), false)).is_hit());
        }
        // Nor from what comes for all of them at once.
        assert_eq!(origin.count(), 4, "{api:?}");
    }
}

#[test]
fn an_unlisted_origin_that_came_first_takes_cors_away_only_until_the_api_is_seen_to_do_it() {
    for api in [Api::Flask, Api::FlaskWithOne, Api::ListedOrStar] {
        let origin = api.start(true);
        let gateway = Gateway::before(&origin).start();
        // Until then it is taken for an API without CORS, which has one variant for all.
        for page in [STRANGER, "null", APP] {
            gateway.send(&from(Some(page), false)).expect(200);
        }
        assert_eq!(origin.count(), 1, "{api:?}");
        gateway.send(&asking("GET", "/other", &[("Origin", APP)]));
        for page in [APP, STRANGER, APP, "null", APP] {
            let answer = gateway.send(&from(Some(page), false)).expect(200);
            assert_eq!(reads(&answer, page, false), page == APP, "{api:?} {page}");
        }
    }
}

#[test]
fn a_304_to_who_sends_no_origin_changes_nothing_for_a_page() {
    for api in [Api::FirstOrListed, Api::ListedOrStar, Api::FlaskWithOne] {
        let origin = api.start(true);
        let gateway = Gateway::before(&origin).start();
        let page = match api {
            Api::FirstOrListed => SHOP,
            _ => APP,
        };
        let before = gateway.send(&from(Some(page), false)).expect(200);
        let nobody = || from(None, false).field("Cache-Control", "no-cache");
        gateway.send(&nobody()).expect(200);
        let mut head = nobody();
        head.method = "HEAD".to_owned();
        gateway.send(&head).expect(200);
        let after = gateway.send(&from(Some(page), false)).expect(200);
        assert!(after.is_hit(), "{api:?}: {}", after.cache_status());
        for name in ["allow-origin", "allow-credentials"] {
            let name = format!("access-control-{name}");
            assert_eq!(after.field(&name), before.field(&name), "{api:?}");
        }
    }
}

#[test]
fn a_304_of_one_origin_changes_nothing_for_another() {
    // Two variants by language, with tags of their own, and both fetched from one page; then another page asks.
    let origin = Origin::start(|request, conn| {
        let language = request.fields.get("accept-language").unwrap_or("en");
        let tag = format!("\"{language}\"");
        let known = request.fields.get("if-none-match").unwrap_or_default();
        let answer = match known.contains(&tag) {
            true => reply(304),
            false => reply(200).body(language),
        };
        let page = request.fields.get("origin").unwrap_or("none");
        let answer = answer
            .field("ETag", tag)
            .field("Vary", "Accept-Language, Origin")
            .field("Cache-Control", "max-age=60")
            .field("Access-Control-Allow-Origin", page);
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let ask = |page: &str, language: &str| {
        let lines = [("Origin", page), ("Accept-Language", language)];
        gateway.send(&asking("GET", "/a", &lines)).expect(200)
    };
    for (page, language) in [
        (APP, "en"),
        (APP, "de"),
        (SHOP, "en"),
        (SHOP, "de"),
        (APP, "en"),
    ] {
        for (page, language) in [(page, language), (APP, "en")] {
            let answer = ask(page, language);
            assert!(
                reads(&answer, page, false),
                "{page} {language}: {answer:#?}"
            );
            assert_eq!(answer.text(), language);
        }
    }
}
