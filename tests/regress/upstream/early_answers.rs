//! A server that answers before it has read the whole request, and then closes or resets its connection: the answer
//! reaches the client, as it does without a gateway.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::thread;

use crate::common::{Answer, Client, Conn, Gateway, Origin, reply, request};

const MIB: usize = 1 << 20;
const UPLOAD: usize = 20 * MIB;

/// How a server ends its connection once it has answered.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Closes with content unread, which resets: gunicorn's sync worker, Unicorn.
    Closes,
    /// Reads a part of the content first.
    ReadsAndCloses,
    /// Ends its own side, then closes with content unread: Java's HttpServer, hypercorn.
    ShutsDownAndCloses,
    /// Reads on for some time, then resets.
    ReadsOnAndResets,
}

const ENDINGS: [Ending; 4] = [
    Ending::Closes,
    Ending::ReadsAndCloses,
    Ending::ShutsDownAndCloses,
    Ending::ReadsOnAndResets,
];

impl Ending {
    fn play(self, conn: &mut Conn, answer: &str) {
        match self {
            Self::Closes => {
                conn.write(answer);
                drop(conn.take());
            }
            Self::ReadsAndCloses => {
                conn.read_content(MIB);
                conn.write(answer);
                drop(conn.take());
            }
            Self::ShutsDownAndCloses => {
                conn.write(answer);
                conn.half_close();
                drop(conn.take());
            }
            Self::ReadsOnAndResets => {
                conn.write(answer);
                conn.read_content(MIB);
                conn.reset();
            }
        }
    }
}

const ANSWERS: [&str; 3] = [
    "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 9\r\n\r\nnot found",
    "HTTP/1.1 413 Content Too Large\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nnot found\r\n0\r\n\r\n",
    "HTTP/1.0 401 Unauthorized\r\nContent-Length: 9\r\n\r\nnot found",
];

/// An origin that answers each request as soon as it has its head.
fn refusing(ending: Ending, answer: &'static str) -> Origin {
    Origin::greeting(
        move |conn| {
            if conn.read_head() {
                ending.play(conn, answer);
            }
        },
        |_, _| {},
    )
}

#[derive(Clone, Copy, Debug)]
enum Framed {
    Length,
    Chunked,
    Expecting,
}

/// Sends an upload as fast as it is taken, and reads what is answered meanwhile.
fn upload(addr: SocketAddr, method: &str, framed: Framed) -> Answer {
    let request = request(method, "/missing");
    let request = match framed {
        Framed::Length => request.field("Content-Length", UPLOAD),
        Framed::Chunked => request.field("Transfer-Encoding", "chunked"),
        Framed::Expecting => request
            .field("Content-Length", UPLOAD)
            .field("Expect", "100-continue"),
    };
    let mut client = Client::to(addr);
    client.start(&request);
    let mut socket = client.hold();
    let writer = client.hold();
    thread::scope(|scope| {
        scope.spawn(move || {
            let part = vec![b'x'; 64 << 10];
            let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat();
            let part = match framed {
                Framed::Chunked => &chunk,
                Framed::Length | Framed::Expecting => &part,
            };
            for _ in 0..UPLOAD / (64 << 10) {
                if socket.write_all(part).is_err() {
                    return;
                }
            }
            if let Framed::Chunked = framed {
                let _ = socket.write_all(b"0\r\n\r\n");
            }
        });
        let answer = client.answer(method).finish();
        let _ = writer.shutdown(Shutdown::Both);
        answer
    })
}

fn status_of(answer: &str) -> u16 {
    answer[9..12].parse().expect("a status")
}

#[test]
fn an_early_answer_to_an_upload_reaches_the_client_however_the_server_ends() {
    for ending in ENDINGS {
        for answer in ANSWERS {
            let origin = refusing(ending, answer);
            let gateway = Gateway::before(&origin).start();
            for (framed, turns) in [
                (Framed::Length, 2),
                (Framed::Chunked, 2),
                (Framed::Expecting, 1),
            ] {
                for turn in 0..turns {
                    let method = ["POST", "PUT"][turn % 2];
                    let answered = upload(gateway.addr(), method, framed);
                    assert_eq!(
                        (answered.status, answered.text()),
                        (status_of(answer), "not found".to_owned()),
                        "{ending:?}, {framed:?}, {answer:?}, {turn}: {answered:?}"
                    );
                }
            }
        }
    }
}

/// A server that answers the first request of each connection as `answer` says once it has read so much of its content, and
/// reads all of it then.
fn answering(answer: &'static str, after: usize, size: usize) -> Origin {
    Origin::greeting(
        move |conn| {
            let Some(request) = conn.request_head() else {
                return;
            };
            if request.method == "GET" {
                return conn.reply(&request, &reply(200));
            }
            conn.read_content(after);
            conn.write(answer);
            conn.read_content(size - after);
        },
        |request, conn| conn.reply(request, &reply(200)),
    )
}

#[test]
fn a_connection_whose_content_may_be_refused_unread_is_not_used_again() {
    const LARGE: usize = 200 << 10;
    let [ok, refused] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n",
    ];
    // Content, how much of it is sent before the answer is there, how much of it the server has read then, its answer, and
    // whether another connection is opened for the next request.
    let table = [
        (10, 5, 0, refused, true),
        (10, 5, 5, ok, false),
        (10, 10, 10, refused, false),
        (10, 10, 10, ok, false),
        (LARGE, LARGE / 2, 0, refused, true),
        (LARGE, LARGE, 0, refused, true),
        (LARGE, LARGE, LARGE, refused, true),
        (LARGE, LARGE, LARGE, ok, false),
    ];
    for (size, sent, read, answer, is_left) in table {
        let case = format!("{sent} of {size} sent, {read} read: {answer}");
        let origin = answering(answer, read, size);
        // With room for one connection, the next request waits until the first connection is idle or closed.
        let gateway = Gateway::before(&origin)
            .upstream("max_connections = 1\nqueue_timeout = '30s'")
            .start();
        let mut client = gateway.client();
        client.start(&request("POST", "/a").field("Content-Length", size));
        client.write(vec![b'x'; sent]);
        let status = client.answer("POST").finish().status;
        assert_eq!(status, status_of(answer), "{case}");
        client.write(vec![b'x'; size - sent]);
        client.get("/next");
        assert_eq!(origin.connections(), 1 + usize::from(is_left), "{case}");
    }
}
