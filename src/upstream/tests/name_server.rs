//! A name server on loopback that says what the test wants.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::spawn_local;

use super::config;
use crate::config::{Ejection, Endpoint, ServerUrl, Upstream};
use crate::upstream::names::lookup::NameServers;
use crate::upstream::names::resolve::Resolver;

/// What the name server says to every question.
#[derive(Clone)]
pub(super) enum Says {
    Addresses(Vec<IpAddr>, u32),
    NoSuchName,
    Failure,
    Nothing,
}

pub(super) struct NameServer {
    pub(super) addr: SocketAddr,
    says: Rc<RefCell<Says>>,
    /// How long it takes for each answer.
    late: Rc<Cell<Duration>>,
    /// Questions for IPv4 addresses, one a look-up.
    asked: Rc<RefCell<usize>>,
}

const A: [u8; 2] = [0, 1];
const AAAA: [u8; 2] = [0, 28];

impl NameServer {
    pub(super) async fn start(says: Says) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let server = Self {
            addr: socket.local_addr().expect("an address"),
            says: Rc::new(RefCell::new(says)),
            late: Rc::default(),
            asked: Rc::default(),
        };
        let (says, asked) = (server.says.clone(), server.asked.clone());
        let (late, socket) = (server.late.clone(), Rc::new(socket));
        spawn_local(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let says = says.borrow().clone();
                let (answer, kind) = answer(&question[..length], &says);
                *asked.borrow_mut() += usize::from(kind == A);
                if matches!(says, Says::Nothing) {
                    continue;
                }
                let (socket, late) = (socket.clone(), late.get());
                spawn_local(async move {
                    tokio::time::sleep(late).await;
                    socket.send_to(&answer, from).await.expect("sent");
                });
            }
        });
        server
    }

    pub(super) fn say(&self, says: Says) {
        *self.says.borrow_mut() = says;
    }

    /// Has it take that long for each answer from now on.
    pub(super) fn take(&self, late: Duration) {
        self.late.set(late);
    }

    pub(super) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(super) fn resolver(&self) -> Arc<Resolver> {
        Resolver::new(
            "api.test.",
            80,
            NameServers::At(self.addr),
            &Ejection::default(),
        )
    }
}

/// The answer to a question, and the type that it asks for (RFC 1035 §4.1).
fn answer(question: &[u8], says: &Says) -> (Vec<u8>, [u8; 2]) {
    let name_end = 12 + question[12..].iter().position(|b| *b == 0).expect("a name");
    let asked = &question[12..name_end + 5];
    let kind = [question[name_end + 1], question[name_end + 2]];
    let (code, addresses, ttl) = match says {
        Says::Addresses(addresses, ttl) => (0, addresses.as_slice(), *ttl),
        Says::NoSuchName => (3, &[][..], 0),
        Says::Failure | Says::Nothing => (2, &[][..], 0),
    };
    let octets = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(address) if kind == A => Some(address.octets().to_vec()),
        IpAddr::V6(address) if kind == AAAA => Some(address.octets().to_vec()),
        _ => None,
    });
    let octets: Vec<_> = octets.collect();
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1, 0, octets.len() as u8, 0, 0, 0, 0]);
    answer.extend(asked);
    for octets in octets {
        // The name of the question, in the class of the Internet.
        answer.extend([0xc0, 12, kind[0], kind[1], 0, 1]);
        answer.extend(ttl.to_be_bytes());
        answer.extend([0, octets.len() as u8]);
        answer.extend(octets);
    }
    (answer, kind)
}

pub(super) fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter()
        .map(|ip| ip.parse().expect("an address"))
        .collect()
}

/// A server at a name that this name server knows.
pub(super) fn named(server: &NameServer, port: u16) -> Upstream {
    let host = "api.test.".to_owned();
    let url = ServerUrl {
        endpoint: Endpoint::Http { host, port },
        base_path: String::new(),
    };
    Upstream {
        resolver: Some(server.addr),
        ..config(vec![url])
    }
}
