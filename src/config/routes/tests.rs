use super::*;
use crate::config::Config;

fn config(text: &str) -> Config {
    let text = format!("[upstream]\nservers = \"http://a\"\n{text}");
    Config::parse(&text, "test", &|_| None).expect("a valid file")
}

fn at<'c>(config: &'c Config, path: &str) -> &'c RoutePolicy {
    config.routes.find(Asked {
        host: "a",
        method: &http::Method::GET,
        path,
    })
}

#[test]
fn no_spelling_of_a_path_leads_past_its_route() {
    let config = config(
        "[[route]]\nmatch = '/books/{id}'\n[[route]]\nmatch = '/admin/{*rest}'\n\
         [[route]]\nmatch = '/bücher/~a'\n[[route]]\nmatch = '/a\"b/`{id}'\n",
    );
    let book = "/books/{id}";
    // `None` where the readings differ.
    for (path, pattern) in [
        ("/", Some("")),
        ("/books", Some("")),
        ("/books/1", Some(book)),
        ("/books/%31", Some(book)),
        ("/%62ooks/1", Some(book)),
        ("/%62%6F%6f%6bs/%31", Some(book)),
        ("/books/a%20b", Some(book)),
        ("/books/100%", Some(book)),
        ("/books/%zz", Some(book)),
        ("/books/%C3%A9", Some(book)),
        ("/books/x;v=1", Some(book)),
        ("/b%C3%BCcher/~a", Some("/bücher/~a")),
        ("/b%c3%bccher/%7ea", Some("/bücher/~a")),
        ("/bücher/~a", Some("/bücher/~a")),
        ("/a\"b/`1", Some("/a\"b/`{id}")),
        ("/a%22b/%601", Some("/a\"b/`{id}")),
        ("/a%22b/%60%7b%22%7d", Some("/a\"b/`{id}")),
        ("/books/{\"a\"}", Some(book)),
        ("/films/a%2Fb//c", Some("")),
        ("/films/..", Some("")),
        ("/books%2F1", None),
        ("/books%2f1", None),
        ("//books/1", None),
        ("/books//1", None),
        ("/books/./1", None),
        ("/films/../books/1", None),
        ("/films/%2e%2E/books/1", None),
        ("/books;x/1", None),
        ("/books\\1", None),
        ("/books/1/..", Some("")),
        ("/books/1/../2", None),
        ("/admin%2Fkeys", None),
        ("/admin;/keys", None),
        ("/books/..%2fadmin/keys", None),
        ("/admin/a%2Fb", Some("/admin/{*rest}")),
    ] {
        let policy = at(&config, path);
        match pattern {
            Some(pattern) => assert_eq!(
                (&*policy.pattern, policy.bypass),
                (pattern, false),
                "{path}"
            ),
            None => assert!(policy.bypass, "{path}: {policy:?}"),
        }
    }
}

#[test]
fn paths_with_dot_segments_are_refused_beside_gates_and_rules_alone() {
    let book = "[[route]]\nmatch = '/books/{id}'\n";
    for (text, refused) in [
        (book.to_owned(), false),
        (
            format!("{book}ttl = '1m'\nrate_limit = {{ requests = 1, per = '1s' }}"),
            false,
        ),
        (format!("{book}deny = '10.0.0.0/8'"), true),
        (format!("{book}respond = {{ status = 404 }}"), true),
        (
            format!("{book}request_fields = {{ remove = ['X-A'] }}"),
            true,
        ),
        (format!("{book}key_fields = ['X-A']"), true),
        (
            format!("[cache]\nrequest_fields = {{ remove = ['X-A'] }}\n{book}"),
            true,
        ),
        (
            format!("[cache]\nallow = '10.0.0.0/8'\n{book}allow = []"),
            true,
        ),
        // What holds for every path cannot be led round.
        ("[cache]\nallow = '10.0.0.0/8'".to_owned(), false),
    ] {
        let config = config(&text);
        for path in ["/a/../b", "/books%2f..%2f..%2fx", "/books/1/.."] {
            let found = at(&config, path).destination;
            assert_eq!(found == Destination::Dotted, refused, "{text}: {path}");
        }
        assert_ne!(at(&config, "//books/1").destination, Destination::Dotted);
    }
}

#[test]
fn a_route_begins_with_the_choices_of_the_cache_section() {
    let config = config(
        "[cache]\nttl = '5m'\netag = 'missing'\nstatuses = [200, 404]\n\
         [[route]]\nmatch = '/a'\nttl_mode = 'cap'\n\
         [[route]]\nmatch = '/b'\nttl = 'off'\netag = 'off'\n\
         [[route]]\nmatch = '/c'\nttl = '1h'\nstatuses = 200\n",
    );
    let ttl = |path: &str| {
        let ttl = at(&config, path).cache.ttl.clone();
        ttl.map(|ttl| (ttl.lifetimes[0].1.as_secs(), ttl.mode, ttl.lifetimes.len()))
    };
    use crate::config::EtagMode::{Missing, Off};
    use crate::semantics::policy::TtlMode::{Cap, Fallback};
    assert_eq!(ttl("/"), Some((300, Fallback, 2)));
    assert_eq!(ttl("/a"), Some((300, Cap, 2)));
    assert_eq!(ttl("/b"), None);
    assert_eq!(ttl("/c"), Some((3600, Fallback, 1)));
    let etags = ["/", "/a", "/b"].map(|path| at(&config, path).etag);
    assert_eq!(etags, [Missing, Missing, Off]);
}
