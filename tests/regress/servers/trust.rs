//! A connection outlives the settings under which it was accepted: whom its fields are believed of is for each request to
//! decide anew (issue 13).

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::common::{Answer, Gateway, Origin, Setup, get, reply, request};

const NAMED: &str = "198.51.100.9";

fn api() -> Origin {
    Origin::answering(reply(200).field("Cache-Control", "no-store").body("1984"))
}

fn trusting(origin: &Origin, proxies: &str) -> Setup {
    Gateway::before(origin)
        .server(&format!(
            "trusted_proxies = [{proxies}]\npurge_from = ['{NAMED}']"
        ))
        .route("/office", &format!("allow = ['{NAMED}']"))
        .route("/home", &format!("deny = ['{NAMED}']"))
        .route(
            "/own",
            "request_fields = { set = { X-Client = '{client_ip}' } }",
        )
        .route(
            "/limited",
            "rate_limit = { requests = 1, per = '1h', burst = 1, by = 'client' }",
        )
}

/// What a gateway may believe of a request that names another client.
fn outcome(origin: &Origin, mut send: impl FnMut(&str, &str) -> u16) -> Vec<u16> {
    let said = ["/office", "/home"].map(|path| send("GET", path));
    let purged = send("PURGE", "/books");
    send("GET", "/own");
    let last = origin.last();
    let is_named = last.fields.get("x-client") == Some(NAMED);
    let is_chain = (last.fields.get("x-forwarded-for")).is_some_and(|of| of.starts_with(NAMED));
    let is_https = last.fields.get("x-forwarded-proto") == Some("https");
    let told = [is_named, is_chain, is_https].map(u16::from);
    [&said[..], &[purged], &told].concat()
}

/// For one that is believed, and for one that is not.
const BELIEVED: [u16; 6] = [200, 403, 200, 1, 1, 1];
const NOT: [u16; 6] = [403, 200, 403, 0, 0, 0];

#[test]
fn a_kept_connection_is_believed_by_the_settings_in_force_for_each_request() {
    let origin = api();
    let (none, own) = (trusting(&origin, ""), trusting(&origin, "'127.0.0.0/8'"));
    for (first, second) in [(&none, &own), (&own, &none)] {
        let gateway = first.clone().start();
        let mut client = gateway.client();
        let mut send = |method: &str, path: &str| -> u16 {
            let asked = request(method, path)
                .field("X-Forwarded-For", NAMED)
                .field("X-Forwarded-Proto", "https");
            let answer: Answer = client.send(&asked);
            answer.status
        };
        let is_believed = std::ptr::eq(first, &raw const own);
        let expected = |is_believed| if is_believed { BELIEVED } else { NOT };
        assert_eq!(outcome(&origin, &mut send), expected(is_believed));
        gateway.reload(second);
        assert_eq!(outcome(&origin, &mut send), expected(!is_believed));
        assert_eq!(client.connects(), 1);
    }
}

#[test]
fn so_is_each_stream_of_an_http2_connection() {
    let origin = api();
    let (none, own) = (trusting(&origin, ""), trusting(&origin, "'127.0.0.0/8'"));
    let gateway = own.clone().start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut sender = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.addr()).await;
        let io = TokioIo::new(stream.expect("a connection"));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io)
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        sender
    });
    let mut send = |method: &str, path: &str| -> u16 {
        let asked = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", gateway.addr()))
            .header("X-Forwarded-For", NAMED)
            .header("X-Forwarded-Proto", "https")
            .body(Empty::<Bytes>::new())
            .expect("a request");
        runtime.block_on(async {
            let answer = sender.send_request(asked).await.expect("an answer");
            let status = answer.status().as_u16();
            answer.into_body().collect().await.expect("content");
            status
        })
    };
    assert_eq!(outcome(&origin, &mut send), BELIEVED);
    gateway.reload(&none);
    assert_eq!(outcome(&origin, &mut send), NOT);
    gateway.reload(&own);
    assert_eq!(outcome(&origin, &mut send), BELIEVED);
}

#[test]
fn a_client_is_counted_by_the_address_that_is_believed_now() {
    let origin = api();
    let (none, own) = (trusting(&origin, ""), trusting(&origin, "'127.0.0.0/8'"));
    let gateway = own.clone().start();
    let mut client = gateway.client();
    let mut ask = |named: &str| {
        let asked = get("/limited").field("X-Forwarded-For", named);
        client.send(&asked).status
    };
    assert_eq!(["192.0.2.1", "192.0.2.2"].map(&mut ask), [200, 200]);
    gateway.reload(&none);
    // Whatever it names, it is one client now.
    assert_eq!(["192.0.2.3", "192.0.2.4"].map(&mut ask), [200, 429]);
}
