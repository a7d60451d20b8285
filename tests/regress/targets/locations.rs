//! URIs in responses of an API that is told its own host (`host = "upstream"`) under a base path: a client is shown no
//! address of the API's, and no base path; and what a write names there is invalidated as the client knows it.

use crate::common::{Gateway, Origin, get, post, reply};

/// An API under `/api/v1` that answers with the field that a request's content is, and `OWN` in it is its address. It
/// has a second server, `SIBLING`, under `/api/v2`, which is down.
struct Shop {
    own: Origin,
    sibling: Origin,
    gateway: Gateway,
}

impl Shop {
    fn open() -> Self {
        let own = Origin::start(|request, conn| {
            let field = request.text();
            let (name, value) = field.split_once(": ").unwrap_or(("X-None", ""));
            conn.reply(request, &reply(201).field(name, value));
        });
        let sibling = Origin::answering(reply(500));
        sibling.stop();
        let servers = [
            format!("{}/api/v1", own.url()),
            format!("{}/api/v2", sibling.url()),
        ];
        let gateway = Gateway::before_all(servers)
            .upstream("host = 'upstream'")
            .start();
        Self {
            own,
            sibling,
            gateway,
        }
    }

    fn named(&self, value: &str) -> String {
        value
            .replace("OWN", &self.own.addr().to_string())
            .replace("SIBLING", &self.sibling.addr().to_string())
    }

    /// The field of a client's answer where the API's has that value.
    fn shown(&self, name: &str, value: &str) -> String {
        let field = format!("{name}: {}", self.named(value));
        let request = post("/shop/items", field).field("Host", "shop.example");
        let answer = self.gateway.send(&request).expect(201);
        answer.list(name)
    }
}

/// What the API writes, and what the client of `http://shop.example/shop/items` gets.
const REFERENCES: &[(&str, &str)] = &[
    // Absolute, in all parts and spellings.
    ("http://OWN/api/v1/items/1", "http://shop.example/items/1"),
    ("http://OWN/api/v1/", "http://shop.example/"),
    ("http://OWN/api/v1", "http://shop.example/"),
    ("http://OWN/api/v1?q=/a", "http://shop.example/?q=/a"),
    ("http://OWN/api/v1#f", "http://shop.example/#f"),
    ("http://OWN/api/v1/a?q#f", "http://shop.example/a?q#f"),
    ("http://OWN", "http://shop.example/"),
    ("http://OWN?q", "http://shop.example/?q"),
    ("http://OWN#f", "http://shop.example/#f"),
    ("HTTP://OWN/api/v1/a", "http://shop.example/a"),
    ("http://OWN/%61pi/v1/a", "http://shop.example/a"),
    ("http://OWN/api/./v1/b/../a", "http://shop.example/a"),
    ("http://OWN/api/v1/b%2Fa", "http://shop.example/b%2Fa"),
    ("http://me:pw@OWN/api/v1/a", "http://shop.example/a"),
    ("http://@OWN/api/v1/a", "http://shop.example/a"),
    // X-Forwarded-Proto has the API believe that it is spoken to in another scheme.
    ("https://OWN/api/v1/a", "https://shop.example/a"),
    // Beside the base path, the address is no less the API's own.
    ("http://OWN/api/v10/a", "http://shop.example/api/v10/a"),
    ("http://OWN/login", "http://shop.example/login"),
    (
        "http://OWN/api/v1/../login",
        "http://shop.example/api/login",
    ),
    // What comes after the base path could be taken for a host.
    (
        "http://OWN/api/v1//evil.test/",
        "http://shop.example//evil.test/",
    ),
    // Another server of the same API, with its own base path; X-Forwarded-Host, which some APIs believe.
    ("http://SIBLING/api/v2/a", "http://shop.example/a"),
    ("http://SIBLING/api/v1/a", "http://shop.example/api/v1/a"),
    ("http://SIBLING/api/v2?q", "http://shop.example/?q"),
    ("//SIBLING/api/v2/a", "http://shop.example/a"),
    ("http://shop.example/api/v1/a", "http://shop.example/a"),
    ("http://SHOP.example:80/api/v1/a", "http://shop.example/a"),
    ("http://shop.example/a", "http://shop.example/a"),
    // Without a scheme.
    ("//OWN/api/v1/a", "http://shop.example/a"),
    ("//OWN/api/v1", "http://shop.example/"),
    ("//OWN?q", "http://shop.example/?q"),
    ("//OWN/api/v1//evil.test", "http://shop.example//evil.test"),
    ("//me@OWN/api/v1/a", "http://shop.example/a"),
    // A path.
    ("/api/v1/items/1", "/items/1"),
    ("/api/v1/", "/"),
    ("/api/v1", "/"),
    ("/api/v1?q", "/?q"),
    ("/api/v1#f", "/#f"),
    ("/api/v1/?q#f", "/?q#f"),
    ("/api/v1/a?b=/api/v1/c", "/a?b=/api/v1/c"),
    ("/api/v1/a#/api/v1/b", "/a#/api/v1/b"),
    ("/api/v10", "/api/v10"),
    ("/api/v1;x/a", "/api/v1;x/a"),
    ("/API/v1/a", "/API/v1/a"),
    ("/login", "/login"),
    ("/%61pi/%76%31/a", "/a"),
    ("/api%2Fv1/a", "/api%2Fv1/a"),
    ("/api/v1/a%2Fb", "/a%2Fb"),
    ("/api/v1/%2Fevil.test/", "/%2Fevil.test/"),
    ("/api/./v1/a", "/a"),
    ("/api/v1/../v1/a", "/a"),
    ("/x/../api/v1/a", "/a"),
    ("/api/v1/café", "/café"),
    ("/api/v1//evil.test/", "http://shop.example//evil.test/"),
    ("/api/v1//evil.test", "http://shop.example//evil.test"),
    ("/api/v1///evil.test", "http://shop.example///evil.test"),
    ("/api/v1/\\evil.test", "http://shop.example/\\evil.test"),
    ("/api/v1/\t/evil.test", "http://shop.example/\t/evil.test"),
    ("/api/v1/.//evil.test", "http://shop.example//evil.test"),
    ("/api/v1/x/..//evil.test", "http://shop.example//evil.test"),
    // Relative to the request's own URI, which is `/shop/items` here and `/api/v1/shop/items` there.
    ("7", "7"),
    ("./7?a", "./7?a"),
    ("../7", "../7"),
    ("?q", "?q"),
    ("#f", "#f"),
    ("", ""),
    ("../../../../api/v1/a", "/a"),
    ("../../v1/a", "/a"),
    ("../../..//api/v1//evil.test", "../../..//api/v1//evil.test"),
    ("../../v1//evil.test", "http://shop.example//evil.test"),
    // Others', which are nobody's business.
    (
        "http://other.example/api/v1/a",
        "http://other.example/api/v1/a",
    ),
    ("http://127.0.0.1:1/api/v1/a", "http://127.0.0.1:1/api/v1/a"),
    ("//other.example/api/v1/a", "//other.example/api/v1/a"),
    (
        "http://OWN.other.example/api/v1/a",
        "http://OWN.other.example/api/v1/a",
    ),
    (
        "http://OWN@other.example/api/v1",
        "http://OWN@other.example/api/v1",
    ),
    ("ftp://OWN/api/v1/a", "ftp://OWN/api/v1/a"),
    ("mailto:me@OWN", "mailto:me@OWN"),
    ("urn:api:v1", "urn:api:v1"),
];

#[test]
fn no_reference_shows_an_address_or_the_base_path_of_the_api() {
    let shop = Shop::open();
    let mut wrong = Vec::new();
    for name in ["Location", "Content-Location"] {
        for &(given, expected) in REFERENCES {
            let (shown, expected) = (shop.shown(name, given), shop.named(expected));
            if shown != expected {
                wrong.push(format!("{name}: {given} became {shown}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_refresh_leads_where_a_location_would() {
    let shop = Shop::open();
    for (given, expected) in [
        ("5; url=http://OWN/api/v1/a", "5; url=http://shop.example/a"),
        ("0;URL='/api/v1?q'", "0;URL='/?q'"),
        (
            "0; url=\"/api/v1//evil.test\"",
            "0; url=\"http://shop.example//evil.test\"",
        ),
        ("1.5, url = //OWN/api/v1", "1.5, url = http://shop.example/"),
        ("5; http://OWN/api/v1/a", "5; http://shop.example/a"),
        ("5; url=/login", "5; url=/login"),
        ("5", "5"),
        ("url=/api/v1/a", "url=/api/v1/a"),
    ] {
        assert_eq!(
            shop.shown("Refresh", given),
            shop.named(expected),
            "{given}"
        );
    }
}

#[test]
fn every_line_of_a_field_is_rewritten() {
    let origin = Origin::answering(
        reply(300)
            .field("Location", "/api/v1/a")
            .field("Location", "/api/v1//b"),
    );
    let gateway = Gateway::before_all([format!("{}/api/v1", origin.url())])
        .upstream("host = 'upstream'")
        .start();
    let answer = gateway
        .send(&get("/").field("Host", "shop.example"))
        .expect(300);
    assert_eq!(answer.list("location"), "/a, http://shop.example//b");
}

/// `GET //evil.test`, for which many APIs add the slash that is missing at its end.
#[test]
fn an_api_that_adds_a_slash_redirects_to_no_other_host() {
    for base in ["/api/v1", "/api"] {
        let origin = Origin::start(|request, conn| {
            // What it has decoded it writes as it is.
            let target = format!("{}/", request.target.replace("%5C", "\\"));
            conn.reply(request, &reply(308).field("Location", target));
        });
        let gateway = Gateway::before_all([format!("{}{base}", origin.url())])
            .upstream("host = 'upstream'")
            .start();
        for target in [
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "//evil.test/a?b",
        ] {
            let request = get(target).field("Host", "shop.example");
            let answer = gateway.send(&request);
            if answer.status == 400 {
                continue;
            }
            let location = answer.expect(308).list("location");
            assert_eq!(location, format!("http://shop.example{target}/"), "{base}");
            let sent = target.replace('\\', "%5C");
            assert_eq!(origin.last().target, format!("{base}{sent}"));
        }
    }
}
