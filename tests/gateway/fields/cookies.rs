//! Cookies that are part of a key, and those that are credentials.

use super::echo;
use crate::common::{Gateway, Origin, get, http2, reply};

#[test]
fn cookies_of_http2_in_lines_of_their_own_are_those_of_one_line() {
    let origin = echo(&["cookie"]);
    let gateway = Gateway::before(&origin)
        .cache("key_cookies = ['lang', 'theme']")
        .start();
    let request = http::Request::get(format!("http://{}/books", gateway.addr()))
        .header("cookie", "lang=de")
        .header("cookie", "theme=a")
        .body(http_body_util::Full::default())
        .expect("a request");
    let answer = http2::send(&gateway, request).expect("an answer");
    assert_eq!(answer.body(), "cookie=lang=de; theme=a");
    let same = get("/books").field("Cookie", "lang=de; theme=a");
    assert!(gateway.send(&same).expect(200).is_hit());
}

#[test]
fn a_cookie_that_is_part_of_the_key_is_no_credential_and_others_still_are() {
    let origin = echo(&["cookie"]);
    let gateway = Gateway::before(&origin)
        .route("/books", "key_cookies = ['lang', 'theme']")
        .route("/plain", "")
        .start();
    let ask = |target: &str, cookie: &str| gateway.send(&get(target).field("Cookie", cookie));
    #[rustfmt::skip]
    let table = [
        ("/plain", "lang=de", false),
        ("/plain", "lang=de", false),
        ("/books", "lang=de", false),
        ("/books", "lang=de", true),
        ("/books", " lang=de ;", true),
        ("/books", "lang=en", false),
        ("/books", "theme=a; lang=en", false),
        ("/books", "lang=en; theme=a", true),
        // What has been stored without credentials answers those with some, but what these fetch is not stored.
        ("/books", "lang=en; session=1", true),
        ("/books", "lang=fr; session=1", false),
        ("/books", "lang=fr; session=1", false),
        ("/books", "lang=fr", false),
        ("/books", "lang=fr; session=2", true),
        // An API may take either.
        ("/books", "lang=fr; lang=de", false),
        ("/books", "lang=de; lang=fr", false),
        ("/books", "lang=de; lang=fr", true),
        ("/books", "Lang=de", false),
        ("/books", "Lang=de", false),
    ];
    for (target, cookie, is_hit) in table {
        let answer = ask(target, cookie).expect(200);
        assert_eq!(
            answer.is_hit(),
            is_hit,
            "{target} {cookie}: {}",
            answer.cache_status()
        );
        if !is_hit {
            assert_eq!(answer.text(), format!("cookie={cookie}"));
        }
    }
}

#[test]
fn no_white_space_in_a_cookie_has_the_default_stored_for_others() {
    // As Go's `readCookies` reads Cookie: the white space around a name is trimmed, that before a value is not.
    let go = |line: &str| {
        let pairs = line
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == "lang");
        values.next().map(|(_, value)| value.to_owned())
    };
    // As much of what is written by hand reads it.
    let by_hand = |line: &str| {
        let pairs = line.split("; ").filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(name, _)| *name == "lang");
        values.next().map(|(_, value)| value.to_owned())
    };
    let readers: [fn(&str) -> Option<String>; 2] = [go, by_hand];
    let lifetimes = ["max-age=60", "public, max-age=60"];
    for (read, lifetime) in readers
        .into_iter()
        .flat_map(|read| lifetimes.map(|lifetime| (read, lifetime)))
    {
        let origin = Origin::start(move |request, conn| {
            let lang = read(request.fields.get("cookie").unwrap_or_default());
            let known = lang.filter(|lang| ["de", "fr"].contains(&&**lang));
            let answer = reply(200).field("Cache-Control", lifetime);
            conn.reply(
                request,
                &answer.body(known.unwrap_or_else(|| "en".to_owned())),
            );
        });
        for (at, odd) in [
            "lang= de",
            "lang=\tde",
            "lang =de",
            "lang = de",
            "theme=a;lang=de",
            "theme=a;  lang=de",
            "theme=a; lang=de ",
            "lang= de; theme=a",
            "lang=de ; theme=a",
            "; lang=de",
            "lang=fr; lang =de",
        ]
        .into_iter()
        .enumerate()
        {
            let gateway = Gateway::before(&origin)
                .cache("key_cookies = ['lang', 'theme']")
                .start();
            let target = format!("/books/{at}");
            let ask = |cookie: &str| gateway.send(&get(&target).field("Cookie", cookie));
            ask(odd).expect(200);
            for (cookie, lang) in [
                ("lang=de", "de"),
                ("theme=a; lang=de", "de"),
                ("lang=fr", "fr"),
                ("theme=a", "en"),
                ("", "en"),
            ] {
                let answer = ask(cookie).expect(200);
                assert_eq!(answer.text(), lang, "{odd:?}, then {cookie}");
                assert!(ask(cookie).is_hit(), "{odd:?}, then {cookie}");
            }
        }
    }
}
