use super::*;
use crate::config::secret::Secret;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn login(user: Option<&str>, password: &str) -> Login {
    Login {
        user: user.map(str::to_owned),
        password: Some(Password::Given(Secret::new(password))),
    }
}

fn written(urls: &[&str]) -> Written {
    Written {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        ..Written::default()
    }
}

#[test]
fn a_url_tells_where_a_server_is_and_who_the_gateway_is_to_it() {
    let none = Login::default();
    for (text, address, expected, database, is_tls) in [
        ("redis://h", tcp("h", 6379), none.clone(), 0, false),
        (
            "valkey://H.example:1/",
            tcp("h.example", 1),
            none.clone(),
            0,
            false,
        ),
        (
            "rediss://10.0.0.1:7/3",
            tcp("10.0.0.1", 7),
            none.clone(),
            3,
            true,
        ),
        ("valkeys://[::1]", tcp("::1", 6379), none.clone(), 0, true),
        ("REDIS://[::1]:80", tcp("::1", 80), none.clone(), 0, false),
        (
            "redis://:word@h",
            tcp("h", 6379),
            login(None, "word"),
            0,
            false,
        ),
        (
            "redis://me:word@h:1",
            tcp("h", 1),
            login(Some("me"), "word"),
            0,
            false,
        ),
        (
            "redis://m%40e:a%2Fb%25%C3%A9@h",
            tcp("h", 6379),
            login(Some("m@e"), "a/b%é"),
            0,
            false,
        ),
        (
            "redis://me:a@b:c@h",
            tcp("h", 6379),
            login(Some("me"), "a@b:c"),
            0,
            false,
        ),
        (
            "unix:///run/v.sock",
            Address::Unix("/run/v.sock".into()),
            none.clone(),
            0,
            false,
        ),
        (
            "unix:/run/v.sock",
            Address::Unix("/run/v.sock".into()),
            none,
            0,
            false,
        ),
    ] {
        let servers = Servers::at(text).expect(text);
        assert_eq!(servers.arrangement, Arrangement::Single(address), "{text}");
        assert_eq!(servers.login, expected, "{text}");
        assert_eq!(
            (servers.database, servers.tls.is_some()),
            (database, is_tls),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_url_is_refused_with_its_cure_and_without_its_password() {
    for (text, reason) in [
        ("", "is not a URL; write"),
        ("h:6379", "is not a URL; write"),
        ("http://h", "is not a URL with redis"),
        ("redis+sentinel://h", "is of a Sentinel"),
        ("redis://", "has no host"),
        ("redis:///1", "has no host"),
        ("redis://a b", "has no host"),
        ("redis://[::1", "has no host"),
        ("redis://[h]", "has no host"),
        ("redis://[::1]x", "has no host"),
        ("redis://h:0", "has a port"),
        ("redis://h:65536", "has a port"),
        ("redis://h:+1", "has a port"),
        ("redis://h:", "has a port"),
        ("redis://h/a", "has a path"),
        ("redis://h/99999999999", "has a database"),
        ("redis://h?protocol=3", "has a query"),
        ("redis://h#1", "has a query"),
        ("redis://me@h", "has a user without a password"),
        ("redis://me:@h", "has a user without a password"),
        ("redis://me:sesame%@h", "has a percent sign"),
        ("redis://me:sesame%zz@h", "has a percent sign"),
        ("redis://me:sesame%ff@h", "has a percent sign"),
        ("redis://me:sesame/x@h", "has a port"),
        ("redis://me:1/sesame@h", "has a path"),
        ("redis://me:sesame?@h", "has a query"),
        ("redis://me:sesame@", "has no host"),
        ("redis//me:sesame@h", "is not a URL; write"),
        ("unix://v.sock", "is not an absolute path"),
        ("unix:///v.sock?db=1", "has a query"),
    ] {
        let fault = Servers::at(text).expect_err(text);
        assert_eq!(fault.part, Part::Url(0), "{text}");
        assert!(fault.what.starts_with(reason), "{text}: {}", fault.what);
        assert!(!format!("{fault} {fault:?}").contains("sesame"), "{text}");
    }
}

#[test]
fn sentinels_and_nodes_of_a_cluster_are_several() {
    let urls = written(&["redis://:s@a", "redis://:s@b:1"]);
    let of_sentinels = Servers::of(Written {
        sentinel: Some("books".into()),
        user: Some("gateway".into()),
        password: Some(Password::File("/run/password".into())),
        ..urls.clone()
    });
    let expected = Servers {
        arrangement: Arrangement::Sentinel {
            name: "books".into(),
            sentinels: vec![tcp("a", 26_379), tcp("b", 1)],
            login: login(None, "s"),
        },
        login: Login {
            user: Some("gateway".into()),
            password: Some(Password::File("/run/password".into())),
        },
        database: 0,
        tls: None,
    };
    assert_eq!(of_sentinels, Ok(expected));
    let cluster = Servers::of(Written {
        is_cluster: true,
        ..urls
    });
    let cluster = cluster.expect("a cluster");
    let nodes = vec![tcp("a", 6379), tcp("b", 1)];
    assert_eq!(cluster.arrangement, Arrangement::Cluster(nodes));
    assert_eq!(cluster.login, login(None, "s"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let two = ["redis://a", "redis://b"];
    let sentinel = |name: &str, urls: &[&str]| Written {
        sentinel: Some(name.into()),
        ..written(urls)
    };
    let cluster = |urls: &[&str]| Written {
        is_cluster: true,
        ..written(urls)
    };
    let password = Some(Password::Given(Secret::new("sesame")));
    for (written, part, reason) in [
        (written(&[]), Part::Urls, "is empty"),
        (written(&two), Part::Urls, "has more than one"),
        (written(&["redis://a", "h"]), Part::Url(1), "is not a URL"),
        (
            cluster(&["redis://a", "rediss://b"]),
            Part::Url(1),
            "differs",
        ),
        (
            cluster(&["redis://a", "redis://:sesame@b"]),
            Part::Url(1),
            "differs",
        ),
        (
            sentinel("n", &["redis://a/1", "redis://b"]),
            Part::Url(1),
            "differs",
        ),
        (cluster(&["redis://a/1"]), Part::Urls, "names a database"),
        (cluster(&["unix:/a"]), Part::Urls, "has a Unix socket"),
        (sentinel("n", &["unix:/a"]), Part::Urls, "has a Unix socket"),
        (sentinel("", &two), Part::Sentinel, "is none"),
        (sentinel("a b", &two), Part::Sentinel, "is none"),
        (
            Written {
                is_cluster: true,
                ..sentinel("n", &two)
            },
            Part::Cluster,
            "has no Sentinels",
        ),
        (
            Written {
                user: Some("me".into()),
                ..written(&["redis://a"])
            },
            Part::User,
            "has no password",
        ),
        (
            Written {
                user: Some(String::new()),
                password: password.clone(),
                ..written(&["redis://a"])
            },
            Part::User,
            "is empty",
        ),
        (
            Written {
                password,
                ..written(&["redis://:sesame@a"])
            },
            Part::Password,
            "is given twice",
        ),
        (
            Written {
                ca_file: Some("/ca".into()),
                ..written(&["redis://a"])
            },
            Part::CaFile,
            "is for TLS",
        ),
        (
            Written {
                tls_name: Some("a".into()),
                ..written(&["redis://a"])
            },
            Part::TlsName,
            "is for TLS",
        ),
        (
            Written {
                tls_name: Some("a b".into()),
                ..written(&["rediss://a"])
            },
            Part::TlsName,
            "is none",
        ),
        (
            Written {
                ca_file: Some("/nowhere/ca.pem".into()),
                ..written(&["rediss://a"])
            },
            Part::CaFile,
            "/nowhere/ca.pem",
        ),
    ] {
        let shown = written.urls.join(" ");
        let fault = Servers::of(written).expect_err(&shown);
        assert_eq!(fault.part, part, "{shown}");
        assert!(fault.what.starts_with(reason), "{shown}: {}", fault.what);
        assert!(!fault.to_string().contains("sesame"), "{fault}");
    }
}

#[test]
fn a_password_is_not_shown() {
    let servers = Servers::at("redis://me:sesame@h").expect("a URL");
    assert!(!format!("{servers:?}").contains("sesame"));
    let Arrangement::Single(address) = servers.arrangement else {
        panic!("one server");
    };
    assert_eq!(address.to_string(), "h:6379");
    assert_eq!(tcp("::1", 1).to_string(), "[::1]:1");
}
