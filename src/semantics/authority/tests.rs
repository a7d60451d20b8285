use super::*;
use proptest::prelude::*;

struct Request {
    method: &'static str,
    uri: &'static str,
    hosts: &'static [&'static str],
    scheme: Scheme,
    version: Version,
}

const GET: Request = Request {
    method: "GET",
    uri: "/",
    hosts: &["example.com"],
    scheme: Scheme::Http,
    version: Version::HTTP_11,
};

fn ask(request: &Request) -> Result<String, BadTarget> {
    let mut headers = HeaderMap::new();
    for host in request.hosts {
        headers.append(
            header::HOST,
            HeaderValue::from_bytes(host.as_bytes()).unwrap(),
        );
    }
    let uri: Uri = request.uri.parse().unwrap();
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let view = TargetView::from_request(&method, &uri, &headers, request.scheme, request.version)?;
    let owned = view.to_target();
    assert_eq!(owned.view(), view);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    view.write_key(&mut a);
    owned.write_key(&mut b);
    assert_eq!(a, b);
    assert_eq!(a, owned.to_string().into_bytes());
    Ok(owned.to_string())
}

#[test]
fn the_target_uri_is_put_together_from_host_and_path() {
    let cases: [(Request, &str); 14] = [
        (GET, "http://example.com/"),
        (
            Request {
                uri: "/a/b?c=d&e",
                ..GET
            },
            "http://example.com/a/b?c=d&e",
        ),
        (
            Request {
                uri: "/%7ea//b/../?",
                ..GET
            },
            "http://example.com/%7ea//b/../?",
        ),
        (
            Request {
                hosts: &["EXAMPLE.com:80"],
                ..GET
            },
            "http://example.com/",
        ),
        (
            Request {
                hosts: &["example.com:443"],
                scheme: Scheme::Https,
                ..GET
            },
            "https://example.com/",
        ),
        (
            Request {
                hosts: &["example.com:443"],
                ..GET
            },
            "http://example.com:443/",
        ),
        (
            Request {
                uri: "http://Other:81/x",
                ..GET
            },
            "http://other:81/x",
        ),
        (
            Request {
                uri: "http://other?q",
                ..GET
            },
            "http://other/?q",
        ),
        (
            Request {
                hosts: &[],
                version: Version::HTTP_10,
                ..GET
            },
            "http:///",
        ),
        (
            Request {
                hosts: &[],
                uri: "http://h/x",
                version: Version::HTTP_2,
                ..GET
            },
            "http://h/x",
        ),
        (
            Request {
                hosts: &["H:80"],
                uri: "http://h/x",
                version: Version::HTTP_2,
                ..GET
            },
            "http://h/x",
        ),
        (
            Request {
                uri: "https://h/",
                scheme: Scheme::Https,
                ..GET
            },
            "https://h/",
        ),
        (
            Request {
                uri: "http://h/",
                scheme: Scheme::Https,
                ..GET
            },
            "https://h/",
        ),
        (
            Request {
                method: "OPTIONS",
                uri: "*",
                ..GET
            },
            "http://example.com*",
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(ask(&request).as_deref(), Ok(expected), "{}", request.uri);
    }
}

#[test]
fn a_request_without_a_sound_target_is_refused() {
    let cases: [(Request, BadTarget); 17] = [
        (Request { hosts: &[], ..GET }, BadTarget::NoHost),
        (
            Request {
                hosts: &[],
                uri: "http://h/",
                ..GET
            },
            BadTarget::NoHost,
        ),
        (
            Request {
                hosts: &[""],
                ..GET
            },
            BadTarget::InvalidHost,
        ),
        (
            Request {
                hosts: &["a", "a"],
                ..GET
            },
            BadTarget::SeveralHosts,
        ),
        (
            Request {
                hosts: &["a", "b"],
                uri: "http://h/",
                ..GET
            },
            BadTarget::SeveralHosts,
        ),
        (
            Request {
                hosts: &["a b"],
                uri: "http://h/",
                ..GET
            },
            BadTarget::InvalidHost,
        ),
        (
            Request {
                hosts: &["user@h"],
                ..GET
            },
            BadTarget::InvalidHost,
        ),
        (
            Request {
                uri: "http://user@h/",
                ..GET
            },
            BadTarget::UserInfo,
        ),
        (
            Request {
                uri: "http://user:secret@h/",
                ..GET
            },
            BadTarget::UserInfo,
        ),
        (
            Request {
                uri: "ftp://h/",
                ..GET
            },
            BadTarget::OtherScheme,
        ),
        (
            Request {
                uri: "https://h/",
                ..GET
            },
            BadTarget::NotSecured,
        ),
        (Request { uri: "*", ..GET }, BadTarget::Form),
        (
            Request {
                method: "CONNECT",
                uri: "h:1",
                ..GET
            },
            BadTarget::Form,
        ),
        (
            Request {
                method: "CONNECT",
                uri: "/",
                ..GET
            },
            BadTarget::Form,
        ),
        (Request { uri: "h:1", ..GET }, BadTarget::Form),
        (
            Request {
                hosts: &["a"],
                uri: "http://b/",
                version: Version::HTTP_2,
                ..GET
            },
            BadTarget::HostsDiffer,
        ),
        (
            Request {
                hosts: &[],
                version: Version::HTTP_2,
                ..GET
            },
            BadTarget::NoHost,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(
            ask(&request),
            Err(expected),
            "{} {:?}",
            request.uri,
            request.hosts
        );
    }
}

#[test]
fn a_refusal_says_what_was_wrong() {
    let words = [
        BadTarget::NoHost,
        BadTarget::SeveralHosts,
        BadTarget::InvalidHost,
        BadTarget::HostsDiffer,
        BadTarget::UserInfo,
        BadTarget::OtherScheme,
        BadTarget::NotSecured,
        BadTarget::Form,
    ]
    .map(|bad| bad.to_string());
    for (at, text) in words.iter().enumerate() {
        assert!(text.starts_with("the request"), "{text}");
        assert!(!words[..at].contains(text), "{text}");
    }
}

#[test]
fn authorities_have_one_normal_form() {
    let cases: [(&str, Option<&str>); 36] = [
        ("example.com", Some("example.com")),
        ("example.com:", Some("example.com")),
        ("example.com:80", Some("example.com")),
        ("example.com:080", Some("example.com")),
        ("example.com:8080", Some("example.com:8080")),
        ("example.com:08080", Some("example.com:8080")),
        ("Example.COM:8080", Some("example.com:8080")),
        ("example.com:65535", Some("example.com:65535")),
        ("example.com:65536", None),
        ("example.com:+80", None),
        ("example.com:http", None),
        ("example.com:80:80", None),
        ("127.0.0.1:5000", Some("127.0.0.1:5000")),
        ("[::1]", Some("[::1]")),
        ("[::1]:80", Some("[::1]")),
        ("[2001:DB8::1]:8080", Some("[2001:db8::1]:8080")),
        ("[::1", None),
        ("[::1]x", None),
        ("[::1%25eth0]", None),
        ("[h]", None),
        ("::1", None),
        ("my_host", Some("my_host")),
        ("caf%C3%A9", Some("caf%c3%a9")),
        ("caf%C", None),
        ("a!$&'()*+,;=~b", Some("a!$&'()*+,;=~b")),
        ("a\"b", None),
        ("a b", None),
        ("a/b", None),
        ("a?b", None),
        ("a@b", None),
        (":80", None),
        (":8080", None),
        ("a@1", None),
        ("aX1", Some("ax1")),
        ("a_1", Some("a_1")),
        ("", Some("")),
    ];
    for (given, expected) in cases {
        let found = normal_authority(given, Scheme::Http).ok();
        assert_eq!(found.as_deref(), expected, "{given}");
    }
}

#[test]
fn a_host_in_normal_form_is_borrowed() {
    for given in [
        "example.com",
        "example.com:8080",
        "example.com:80",
        "[::1]:81",
    ] {
        let found = normal_authority(given, Scheme::Http).unwrap();
        assert!(matches!(found, Cow::Borrowed(_)), "{given}");
    }
}

#[test]
fn path_and_query_come_apart() {
    for (given, path, query) in [
        ("/", "/", None),
        ("/a?", "/a", Some("")),
        ("/a?b?c", "/a", Some("b?c")),
    ] {
        let target = TargetUri {
            scheme: Scheme::Http,
            authority: "h".into(),
            path_and_query: given.into(),
        };
        assert_eq!((target.view().path(), target.view().query()), (path, query));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_normal_form_is_stable(given in "[a-zA-Z0-9.:@%\\[\\] _-]{0,16}") {
        for scheme in [Scheme::Http, Scheme::Https] {
            if let Ok(once) = normal_authority(&given, scheme) {
                prop_assert_eq!(normal_authority(&once, scheme), Ok(once.clone()));
                prop_assert!(!once.bytes().any(|b| b.is_ascii_uppercase() || b == b'/' || b == b'@'));
            }
        }
    }
}
