//! Slow name servers: the first answer counts, however late it comes (issue 11, point 52).

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bookend::clock::Clock;

use crate::common::{Gateway, Origin, reply};

/// A name server for one name, at 127.0.0.1; it takes so long for each answer.
struct NameServer {
    addr: String,
    questions: Arc<AtomicUsize>,
}

impl NameServer {
    fn start(late: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let addr = socket.local_addr().expect("an address").to_string();
        let questions = Arc::new(AtomicUsize::new(0));
        let asked = questions.clone();
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                asked.fetch_add(1, Ordering::SeqCst);
                let answer = answer(&question[..length]);
                let socket = socket.try_clone().expect("a socket");
                thread::spawn(move || {
                    thread::sleep(late);
                    let _ = socket.send_to(&answer, from);
                });
            }
        });
        Self { addr, questions }
    }
}

/// 127.0.0.1 for a question of type A, nothing for any other (RFC 1035 §4.1).
fn answer(question: &[u8]) -> Vec<u8> {
    let end = 12
        + question[12..]
            .iter()
            .position(|byte| *byte == 0)
            .expect("a name");
    let is_a = question[end + 1..end + 3] == [0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&question[12..end + 5]);
    if is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[test]
fn the_first_request_waits_for_the_first_answer_and_each_question_is_asked_once() {
    for millis in [0, 300, 600, 900] {
        let late = Duration::from_millis(millis);
        let names = NameServer::start(late);
        let origin = Origin::answering(reply(200).body("well"));
        let url = format!("http://api.test.:{}", origin.addr().port());
        let gateway = Gateway::before_all([url])
            .upstream(&format!("resolver = '{}'", names.addr))
            .start();
        let clock = Clock::system();
        let begun = clock.now().mono;
        let status = gateway.get("/").status;
        let took = clock.now().mono.since(begun);
        assert_eq!(status, 200, "{late:?}");
        let questions = names.questions.load(Ordering::SeqCst);
        assert_eq!(questions, 2, "{late:?}: A and AAAA");
        assert!(
            took >= late && took < late + Duration::from_secs(1),
            "{took:?}"
        );
    }
}
