//! What a gate lets through: no reading of a path by any API, no field that an API takes for another, and no client that its
//! proxy does not name leads round it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::common::{Client, Gateway, Origin, Request, get, reply, request};

fn api() -> Origin {
    Origin::start(|request, conn| {
        let said = reply(200)
            .field("Access-Control-Allow-Origin", "*")
            .field("Access-Control-Allow-Credentials", "true");
        conn.reply(request, &said.body(&request.target));
    })
}

#[test]
fn an_api_that_does_part_of_what_others_do_to_a_path_is_behind_the_gate_too() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route("/admin/{*rest}", "auth = { bearer = 'abc' }")
        .route("/admin/open", "auth = 'off'")
        .route("/open/{*rest}", "")
        .route("/keys", "auth = { bearer = 'abc' }")
        .start();
    gateway.get("/admin/open").expect(200);
    for target in [
        // Decoded, and the parameter stays.
        "/admin%2Fopen;x",
        "/admin/open;x",
        "/admin/open%3Bx",
        // The parameter dropped before it is decoded, or afterwards.
        "/admin%2Fkeys;x%2Fb",
        "/keys;x%2Fb",
        // The slashes stay.
        "/admin//open",
        "/admin%2F%2Fopen",
        // A segment that is empty without its parameter.
        "/open/..;%2F..%2Fkeys",
        "/;x/keys",
        // The first segment taken for a host.
        "//x/keys",
        "/%2Fx/keys",
        "/;x%2Fkeys",
    ] {
        let status = gateway.get(target).status;
        assert!(matches!(status, 400 | 401), "{target}: {status}");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn limits_count_whatever_an_api_may_read() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .workers(1)
        .route("/a/{*rest}", "rate_limit = { requests = 1, per = '1h' }")
        .route("/a/open", "")
        .start();
    let statuses = ["/a%2Fopen;x", "/a%2Fopen;y"].map(|target| gateway.get(target).status);
    assert_eq!(statuses, [200, 429]);
}

#[test]
fn where_a_path_may_be_that_of_two_routes_pages_read_what_both_say_and_else_nothing() {
    let origin = api();
    let app = "https://app.example.org";
    let gateway = Gateway::before(&origin)
        .route("/a/{*rest}", &format!("cors = {{ origins = '{app}' }}"))
        .route("/b/{*rest}", "cors = { origins = 'https://b.example.org' }")
        .route(
            "/b/same/{*rest}",
            "cors = { origins = 'https://b.example.org' }",
        )
        .start();
    let page = |origin: &str, request: Request| request.field("Origin", origin);
    let granted = |origin: &str, target: &str| {
        let answer = gateway.send(&page(origin, get(target))).expect(200);
        let fields = [
            "access-control-allow-origin",
            "access-control-allow-credentials",
        ];
        fields.map(|name| answer.fields.get(name).map(str::to_owned))
    };
    let none = [None, None];
    // Those of the API go through where the gateway does no CORS.
    assert_eq!(
        granted(app, "/x"),
        [Some("*".to_owned()), Some("true".to_owned())]
    );
    assert_eq!(granted(app, "/a/1"), [Some(app.to_owned()), None]);
    assert_eq!(granted(app, "/a%2F1"), none);
    assert_eq!(
        granted("https://b.example.org", "/b/same%2F1"),
        [Some("https://b.example.org".to_owned()), None]
    );
    for (target, status) in [("/a/1", 204), ("/a%2F1", 403), ("//a/1", 403), ("/x", 200)] {
        let preflight =
            page(app, request("OPTIONS", target)).field("Access-Control-Request-Method", "PUT");
        let answer = gateway.send(&preflight);
        assert_eq!(answer.status, status, "{target}");
        let grants = answer.fields.has("access-control-allow-origin");
        assert_eq!(grants, status != 403, "{target}");
    }
}

#[test]
fn a_client_whom_its_proxy_does_not_name_is_in_no_network() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("trusted_proxies = ['127.0.0.0/8']")
        .cache("allow = ['127.0.0.0/8', '10.0.0.0/8']")
        .start();
    for (field, value, status) in [
        ("X-A", "none", 200),
        ("X-Forwarded-For", "10.1.2.3", 200),
        ("X-Forwarded-For", "127.0.0.9", 200),
        ("X-Forwarded-For", "192.0.2.1", 403),
        ("X-Forwarded-For", "unknown", 403),
        ("X-Forwarded-For", "", 403),
        ("X-Forwarded-For", "10.1.2.3, garbage", 403),
        ("Forwarded", "for=10.1.2.3", 200),
        ("Forwarded", "for=_hidden", 403),
        ("Forwarded", "for=unknown", 403),
    ] {
        let answer = gateway.send(&get("/").field(field, value));
        assert_eq!(answer.status, status, "{field}: {value}");
    }
}

/// WSGI, CGI and Rack write `-` as `_` in the names of the variables that they make of fields.
#[test]
fn no_field_goes_on_that_an_api_takes_for_one_of_ours() {
    let origin = Origin::start(|request, conn| {
        let names = (request.fields.0.iter()).map(|(name, _)| name.to_ascii_lowercase());
        let mut names: Vec<_> = names.filter(|name| name.contains('_')).collect();
        names.sort_unstable();
        conn.reply(request, &reply(200).body(names.join(" ")));
    });
    let gateway = Gateway::before(&origin)
        .route(
            "/set/{*rest}",
            "request_fields = { set = { X-Role = 'guest' }, remove = ['X-Debug'] }\nkey_fields = ['X-Tenant']\ncredential_fields = ['X-API-Key']",
        )
        .start();
    let forged = [
        "X_Forwarded_For",
        "X-Forwarded_Host",
        "x_forwarded_proto",
        "X_Forwarded_Prefix",
        "Client_Cert",
        "X_Request_ID",
        "X_Role",
        "X_Debug",
        "X_Other",
    ];
    let forged =
        forged
            .into_iter()
            .chain(["Accept_Language", "Content_Length", "X_Api_Key", "X_Tenant"]);
    for (target, left) in [
        ("/1", "x_api_key x_debug x_other x_role x_tenant"),
        ("/set/1", "x_other"),
    ] {
        let asked = forged
            .clone()
            .fold(get(target), |asked, name| asked.field(name, "forged"));
        assert_eq!(gateway.send(&asked).expect(200).text(), left, "{target}");
    }
}

#[test]
fn a_page_s_first_requests_all_have_the_same_password_and_all_get_in() {
    let origin = api();
    // crypt(3) with 20000 rounds of SHA-512: long beside the arrival of twelve requests.
    let slow = "$6$rounds=20000$saltsalt$9wXi3OZBOL8gRoA8nNqzGxKqEAir08WBK9aTRraTzAHg6c9zihHf/tahd6hfOsu/96Dhwlvx00YjMgZuqR3Oh.";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    std::fs::write(&file, format!("alice:{slow}\n")).expect("written");
    let gateway = Gateway::before(&origin)
        .cache(&format!("auth = {{ basic_file = '{}' }}", file.display()))
        .start();
    let credentials = format!("Basic {}", STANDARD.encode("alice:sesame"));
    let mut clients: Vec<_> = (0..12).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.start(&get("/").field("Authorization", &credentials));
    }
    for mut client in clients {
        client.answer("GET").finish().expect(200);
    }
}

#[test]
fn a_long_path_with_many_readings_is_refused_before_they_are_made() {
    let origin = api();
    let gateway = Gateway::before(&origin).route("/a/{*rest}", "").start();
    let path = |octets: usize| format!("//h;x%2Fb/a{}", "/b".repeat(octets / 2));
    gateway.get(&path(500)).expect(200);
    let answer = gateway.get(&path(6_000)).expect(400);
    assert!(answer.text().contains("too many ways"), "{}", answer.text());
    let plain = Gateway::before(&origin).start();
    plain.get(&path(6_000)).expect(200);
}

#[test]
fn a_request_counts_for_the_route_that_a_strict_api_takes_its_path_for() {
    let origin = api();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let gateway = Gateway::before(&origin)
        .route("/a/{*rest}", "ttl = '5m'")
        .route("/a/open", "")
        .route("/b/{id}", "upstream = 'other'\nrewrite = '/a/{id}'")
        .more(&format!("[upstreams.other]\nservers = '{}'", origin.url()))
        .access_log(&log)
        .start();
    // As strict APIs read them, in this order; other APIs read each as another's.
    for target in ["/a/open;x", "/a%2Fopen", "/a//open", "//a/open", "/b/1%2F2"] {
        gateway.get(target);
    }
    let metrics = Client::to(gateway.admin_addr()).get("/metrics").text();
    let count = |route: &str| {
        let label = format!("route=\"{route}\"");
        let of_route = metrics.lines().filter(|line| {
            line.starts_with("bookend_route_requests_total{") && line.contains(&label)
        });
        of_route
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let counts = ["/a/{*rest}", "/a/open", "/b/{id}", "(default)"].map(count);
    assert_eq!(counts, [2, 0, 1, 2], "{metrics}");
    gateway.stop();
    let log = std::fs::read_to_string(&log).expect("a log");
    let logged = log.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["route"].as_str().unwrap_or_default().to_owned()
    });
    let expected = [
        "/a/{*rest}",
        "(default)",
        "/a/{*rest}",
        "(default)",
        "/b/{id}",
    ];
    assert_eq!(logged.collect::<Vec<_>>(), expected);
}
