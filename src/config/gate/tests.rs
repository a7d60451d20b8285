use super::*;
use crate::config::Config;
use crate::config::load::known_keys;

/// What is said of a route with these lines: its mistakes, or its warnings.
fn told(lines: &str) -> Vec<String> {
    let text = format!("upstream.servers = 'http://a'\n[[route]]\nmatch = '/a/{{id}}'\n{lines}\n");
    let found = match Config::parse(&text, "f", &|_| None) {
        Ok(config) => config.warnings,
        Err(mistakes) => mistakes,
    };
    found.iter().map(ToString::to_string).collect()
}

fn gate(lines: &str) -> Option<Arc<Gate>> {
    let text = format!("upstream.servers = 'http://a'\n{lines}\n");
    let config = Config::parse(&text, "f", &|_| None);
    let config = config.unwrap_or_else(|mistakes| panic!("{lines}: {mistakes:?}"));
    config.routes.listed()[0].gate.clone()
}

/// Whether it says that the gate is not for the path with a slash behind it.
fn is_of_twin(told: &str) -> bool {
    told.contains("which many APIs answer in the same way")
}

#[test]
fn a_route_begins_with_the_gate_of_the_cache_section() {
    let nets = |text: &str| -> Vec<IpNet> {
        let words = text.split_whitespace();
        words.map(|net| net.parse().expect("a network")).collect()
    };
    let cache = "[cache]\nallow = ['10.0.0.0/8', '192.0.2.7']\ndeny = '::ffff:10.9.0.0/112'\nrespond = { status = 503 }\n";
    let route = |lines: &str| gate(&format!("{cache}[[route]]\nmatch = '/a'\n{lines}"));
    let inherited = route("").expect("a gate");
    assert_eq!(inherited.allow, nets("10.0.0.0/8 192.0.2.7/32"));
    assert_eq!(inherited.deny, nets("10.9.0.0/16"));
    assert_eq!(
        inherited.respond.as_ref().map(|r| r.status.as_u16()),
        Some(503)
    );
    let own = route("allow = []\nrespond = { status = 404 }").expect("a gate");
    assert_eq!((own.allow.len(), own.deny.len()), (0, 1));
    assert_eq!(own.respond.as_ref().map(|r| r.status.as_u16()), Some(404));
    assert_eq!(route("allow = []\ndeny = []\nrespond = 'off'"), None);
    assert_eq!(gate("[[route]]\nmatch = '/a'\nttl = '1s'"), None);
}

#[test]
fn what_cannot_be_meant_is_told_with_its_place_and_the_cure() {
    for (lines, expected) in [
        (
            "allow = '10.0.0.0/33'",
            "4:9: `allow`: \"10.0.0.0/33\" is not a network",
        ),
        (
            "allow = '10.1.0.0/16'\ndeny = ['10.0.0.0/8']",
            "4:9: `allow` has 10.1.0.0/16, which `deny` refuses as a part of 10.0.0.0/8: `deny` precedes",
        ),
        ("respond = {}", "4:11: `respond` has no `status`"),
        ("respond = 503", "4:11: `respond` must be a section"),
        (
            "respond = { body = 'a' }",
            "4:11: `respond` has no `status`",
        ),
        (
            "respond = { status = 199 }",
            "4:22: `status`: \"199\" is not from 200 to 599",
        ),
        (
            "respond = { status = 600 }",
            "4:22: `status`: \"600\" is not from 200 to 599",
        ),
        (
            "respond = { status = 401 }",
            "4:22: `status`: \"401\" needs a challenge: write `auth` instead",
        ),
        (
            "respond = { status = 304 }",
            "4:22: `status`: \"304\" answers a condition",
        ),
        (
            "respond = { status = 302 }",
            "4:22: a redirect (302) needs a `location`",
        ),
        (
            "respond = { status = 204, body = 'a' }",
            "4:34: a response with 204 has no `body`",
        ),
        (
            "respond = { status = 503, type = 'text/html' }",
            "4:34: `type` is that of the `body`",
        ),
        (
            "respond = { status = 503, body = 'a', type = 'html' }",
            "4:46: `type`: \"html\" is not a media type",
        ),
        (
            "respond = { status = 404, retry_after = '1s' }",
            "4:41: `retry_after` has no meaning with 404",
        ),
        (
            "respond = { status = 503, retry_after = '1ms' }",
            "4:41: `retry_after`: \"1ms\" is not in whole seconds",
        ),
        (
            "respond = { status = 404, location = '/b' }",
            "4:38: `location` has no meaning with 404",
        ),
        (
            "respond = { status = 302, location = '/b/{x}' }",
            "4:38: `location`: \"/b/{x}\" has a parameter `{x}` that is not in the route's `match`; that has `{id}`",
        ),
        (
            "respond = { status = 302, location = '//b/{id}' }",
            "4:38: `location`: \"//b/{id}\" is neither a path",
        ),
        (
            "respond = { statu = 302 }",
            "4:13: unknown key `statu` in [route.respond]; did you mean `status`?",
        ),
        (
            "ttl = '1m'\nrespond = { status = 503 }",
            "4:7: `ttl` has no effect beside `respond`",
        ),
    ] {
        let told = told(lines);
        let found = told
            .iter()
            .any(|told| told.starts_with(&format!("f:{expected}")));
        assert!(found, "{lines}: {told:#?}");
    }
    for lines in [
        "respond = { status = 204 }",
        "respond = { status = 200, body = '{}', type = 'application/json' }",
        "respond = { status = 503, retry_after = '5m' }\nclient_ttl = '1m'\nrate_limit = { requests = 1, per = '1s' }",
        "respond = { status = 308, location = 'https://b.example/{id}?' }\nallow = '::1'",
        "respond = 'off'\nttl = '1m'",
    ] {
        let mut told = told(lines);
        told.retain(|told| !is_of_twin(told));
        assert_eq!(told, [""; 0], "{lines}");
    }
}

#[test]
fn a_route_that_answers_itself_needs_no_api() {
    let text = "[upstreams.films]\nservers = 'http://a'\n[[route]]\nmatch = '/f'\nupstream = 'films'\n\
                [[route]]\nmatch = '/b'\nrespond = { status = 410 }\n";
    let config = Config::parse(text, "f", &|_| None).expect("a valid file");
    assert_eq!(config.warnings, []);
}

#[test]
fn a_gate_for_all_below_a_path_that_leaves_the_path_itself_open_is_told() {
    let warnings = |routes: &str| {
        let text = format!("upstream.servers = 'http://a'\n{routes}");
        let config = Config::parse(&text, "f", &|_| None).expect(routes);
        config.warnings.len()
    };
    let below = "[[route]]\nmatch = '/admin/{*rest}'\nallow = '::1'\n";
    assert_eq!(warnings(below), 1);
    assert_eq!(
        warnings(&format!(
            "{below}[[route]]\nmatch = '/admin'\nallow = '::1'\n"
        )),
        0
    );
    assert_eq!(
        warnings("[cache]\nallow = '::1'\n[[route]]\nmatch = '/admin/{*rest}'\n"),
        0
    );
    assert_eq!(
        warnings("[[route]]\nmatch = '/{*rest}'\nallow = '::1'\n"),
        0
    );
}

/// The hash of "sesame".
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";

/// What is said of a route with this `auth`, in which FILE stands for the path of a file with this content.
fn told_of(auth: &str, content: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, content).expect("written");
    let path = file.display().to_string();
    let told = told(&format!("auth = {{ {} }}", auth.replace("FILE", &path)));
    told.into_iter()
        .map(|line| line.replace(&path, "FILE"))
        .collect()
}

#[test]
fn users_and_tokens_that_nobody_could_have_are_told_with_their_line_and_never_shown() {
    let file = "basic_file = 'FILE'";
    let tokens = "bearer_file = 'FILE'";
    let alice = format!("alice:{HASH}");
    for (auth, content, expected) in [
        (
            "realm = 'a'",
            "",
            "4:8: `auth` says nobody who may ask; write",
        ),
        (file, "", "`basic_file`: FILE: has no user"),
        (file, "# none\n\n", "`basic_file`: FILE: has no user"),
        (
            "basic_file = 'FILE.none'",
            "",
            "`basic_file`: FILE.none: cannot be read: ",
        ),
        (file, "alice", "`basic_file`: FILE:1: is not `user:hash`"),
        (
            file,
            "# a\nalice:sesame",
            "`basic_file`: FILE:2: \"alice\" has no hash of bcrypt",
        ),
        (
            file,
            "alice:$apr1$sesame$sesame",
            "`basic_file`: FILE:1: \"alice\" has an MD5 hash",
        ),
        (
            file,
            &format!("{alice}\n{alice}"),
            "`basic_file`: FILE:2: \"alice\" is there twice",
        ),
        (
            tokens,
            "a b",
            "`bearer_file`: FILE:1: has a token that no request can carry",
        ),
        (tokens, "# a", "`bearer_file`: FILE: has no token"),
        ("bearer = []", "", "`bearer` must be a list with a member"),
        (
            "bearer = 'ses ame'",
            "",
            "`bearer` has a token that no request can carry",
        ),
        (
            "bearer = '$sesame'",
            "",
            "`bearer` would be these very letters",
        ),
        (
            "bearer = 'a', realm = 'é'",
            "",
            "`realm`: \"é\" has characters other than",
        ),
        (
            "bearr = 'a'",
            "",
            "unknown key `bearr` in [route.auth]; did you mean `bearer`?",
        ),
    ] {
        let told = told_of(auth, content);
        assert!(
            told.iter().any(|told| told.contains(expected)),
            "{auth} {content}: {told:#?}"
        );
        let shows = |told: &String| told.contains("ses ame") || told.contains("$sesame$");
        assert!(!told.iter().any(shows), "{told:#?}");
    }
    for (auth, content) in [
        (
            file,
            &*format!("\u{feff}# users\n{alice}\n\n bob:{HASH}:a comment \r\n"),
        ),
        (tokens, "# tokens\nabc\nd.e-f_g~h+i/j=\n"),
        (
            "basic_file = 'FILE', bearer = ['a', 'b'], realm = 'Our \"books\"', forward = true",
            &*alice,
        ),
    ] {
        let mut told = told_of(auth, content);
        told.retain(|told| !is_of_twin(told));
        assert_eq!(told, [""; 0], "{auth}");
    }
}

#[test]
fn nothing_that_is_secret_shows_in_debug_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    std::fs::write(&file, format!("alice:{HASH}")).expect("written");
    let lines = format!(
        "[[route]]\nmatch = '/a'\nauth = {{ basic_file = '{}', bearer = 'sesame' }}",
        file.display()
    );
    let shown = format!("{:?}", gate(&lines).expect("a gate"));
    for secret in ["sesame", HASH, "alice"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let auth = gate(&lines)
        .and_then(|gate| gate.auth.clone())
        .expect("an auth");
    assert!(auth.tokens.has(b"sesame") && !auth.tokens.has(b"sesam") && !auth.tokens.has(b""));
}

#[test]
fn cors_that_no_browser_takes_is_told_with_its_place_and_the_cure() {
    for (cors, expected) in [
        ("credentials = true", "4:8: `cors` has no `origins`"),
        ("origins = []", "`origins` must be a list with a member"),
        (
            "origins = 'app.example.org'",
            "4:20: `origins`: \"app.example.org\" has no scheme",
        ),
        (
            "origins = '*', credentials = true",
            "4:39: browsers refuse `credentials` with the origin \"*\"",
        ),
        (
            "origins = 'https://a', credentials = true, expose = '*'",
            "\"*\" has no meaning for requests with `credentials`",
        ),
        (
            "origins = ['*', 'https://a']",
            "`origins` has \"*\", which is all of them",
        ),
        (
            "origins = 'https://a', headers = 'a b'",
            "`headers`: \"a b\" is not a field's name",
        ),
        (
            "origins = 'https://a', methods = 'a b'",
            "`methods`: \"a b\" is not a method",
        ),
        (
            "origins = 'https://a', max_age = '1ms'",
            "`max_age`: \"1ms\" is not in whole seconds",
        ),
        (
            "origin = 'https://a'",
            "unknown key `origin` in [route.cors]; did you mean `origins`?",
        ),
    ] {
        let told = told(&format!("cors = {{ {cors} }}"));
        assert!(
            told.iter().any(|told| told.contains(expected)),
            "{cors}: {told:#?}"
        );
    }
    let lines = "[[route]]\nmatch = '/a'\ncors = { origins = ['https://A.example:443'], methods = '*', expose = '*' }";
    let cors = gate(lines)
        .and_then(|gate| gate.cors.clone())
        .expect("a policy");
    assert_eq!(
        cors.origins
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["https://a.example"]
    );
    assert_eq!(
        (
            cors.methods.len(),
            cors.expose.as_ref().and_then(|all| all.to_str().ok())
        ),
        (0, Some("*"))
    );
}

#[test]
fn each_key_of_a_route_has_an_effect_beside_respond_or_is_told_to_have_none() {
    const WITH_EFFECT: [&str; 11] = [
        "host",
        "match",
        "methods",
        "allow",
        "deny",
        "cors",
        "respond",
        "rate_limit",
        "client_ttl",
        "debug",
        "access_log",
    ];
    for key in known_keys() {
        if key.section == "[[route]]" {
            let lists = [&WITH_EFFECT[..], &["response_fields"], &WITHOUT_EFFECT];
            let listed = lists.iter().filter(|list| list.contains(&key.key)).count();
            assert_eq!(listed, 1, "{}", key.key);
        }
    }
}
