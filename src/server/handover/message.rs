//! The messages of a handover: a head of fixed length, then JSON. Descriptors come between messages, some with each octet.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde_json::{Value, json};

use crate::config::ListenAddr;
use crate::server::tls::{Secret, TicketKeys};

/// What each message begins with.
const MAGIC: &[u8; 8] = b"bookend\0";

/// Raised when a process could not understand the messages of another any more.
const VERSION: u16 = 2;

/// Bytes of a message, at most: thousands of addresses.
const MAX_LENGTH: u32 = 1 << 20;

/// Descriptors with one octet; Linux takes 253 at most.
const AT_ONCE: usize = 32;

/// Descriptors of one listener, and of all, at most.
const MAX_DESCRIPTORS: usize = 16 << 10;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// The successor asks for the sockets.
    Take,
    /// The sockets' descriptors follow, in this order.
    Listeners(Vec<Listener>, Vec<Tickets>),
    /// The successor can serve, and waits.
    Ready,
    /// It may: the predecessor knows that another process serves the same clients from now on.
    Serve,
    /// The successor serves.
    Serving,
    /// The predecessor drains.
    Released,
    /// The predecessor goes on as before: the successor was too late.
    Kept,
}

/// The listening sockets of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// The address in the predecessor's configuration.
    pub configured: ListenAddr,
    /// With the real port where port 0 was asked for.
    pub addr: ListenAddr,
    /// Whether all workers accept from each of its sockets.
    pub is_shared: bool,
    /// How many there are.
    pub sockets: usize,
    /// Whether the successor is to remove the socket file at its end.
    pub has_file: bool,
}

/// The ticket keys of a listener with TLS that has these addresses.
pub(super) type Tickets = (Vec<ListenAddr>, TicketKeys);

impl Message {
    pub fn send(&self, stream: &mut UnixStream) -> io::Result<()> {
        let content = self.to_json().to_string();
        let length = u32::try_from(content.len()).ok();
        let length = length.filter(|length| *length <= MAX_LENGTH);
        let length = length.ok_or_else(|| invalid("too many listeners"))?;
        let mut octets = MAGIC.to_vec();
        octets.extend(VERSION.to_be_bytes());
        octets.extend(length.to_be_bytes());
        octets.extend(content.into_bytes());
        stream.write_all(&octets)
    }

    /// Reads the next message.
    ///
    /// # Errors
    /// When the other process has ended (`UnexpectedEof`), or speaks another version, or something else.
    pub fn receive(stream: &mut UnixStream) -> io::Result<Self> {
        let (mut magic, mut version, mut length) = ([0; 8], [0; 2], [0; 4]);
        stream.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(invalid("the other process is no gateway"));
        }
        stream.read_exact(&mut version)?;
        let version = u16::from_be_bytes(version);
        if version != VERSION {
            return Err(invalid(format!(
                "the other process hands over by version {version}, this one by version {VERSION}: restart the gateway instead"
            )));
        }
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MAX_LENGTH {
            return Err(invalid("the message is too long"));
        }
        let mut content = Vec::new();
        stream.take(u64::from(length)).read_to_end(&mut content)?;
        if content.len() as u64 != u64::from(length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let content: Value = serde_json::from_slice(&content)?;
        Self::from_json(&content).ok_or_else(|| invalid("the message is not understood"))
    }

    fn to_json(&self) -> Value {
        let listener = |listener: &Listener| {
            json!({
                "configured": listener.configured.to_string(),
                "addr": listener.addr.to_string(),
                "shared": listener.is_shared,
                "sockets": listener.sockets,
                "file": listener.has_file,
            })
        };
        let secret = |secret: &Secret| json!(secret.octets());
        let ticket_keys = |(addrs, keys): &Tickets| {
            json!({
                "listen": addrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "current": secret(&keys.current),
                "previous": keys.previous.as_ref().map(secret),
                "age": keys.age.as_secs(),
            })
        };
        match self {
            Self::Take => json!({ "message": "take" }),
            Self::Listeners(listeners, tickets) => json!({
                "message": "listeners",
                "listeners": listeners.iter().map(listener).collect::<Vec<_>>(),
                "tickets": tickets.iter().map(ticket_keys).collect::<Vec<_>>(),
            }),
            Self::Ready => json!({ "message": "ready" }),
            Self::Serve => json!({ "message": "serve" }),
            Self::Serving => json!({ "message": "serving" }),
            Self::Released => json!({ "message": "released" }),
            Self::Kept => json!({ "message": "kept" }),
        }
    }

    /// `None` for what is no message. Members that are not known are ignored: a later process may say more.
    fn from_json(content: &Value) -> Option<Self> {
        let listener = |listener: &Value| {
            let addr = |name: &str| listener.get(name)?.as_str()?.parse().ok();
            let flag = |name: &str| listener.get(name)?.as_bool();
            let sockets = usize::try_from(listener.get("sockets")?.as_u64()?).ok()?;
            Some(Listener {
                configured: addr("configured")?,
                addr: addr("addr")?,
                is_shared: flag("shared")?,
                sockets,
                has_file: flag("file")?,
            })
        };
        Some(match content.get("message")?.as_str()? {
            "take" => Self::Take,
            "listeners" => {
                let listeners = content.get("listeners")?.as_array()?;
                let listeners: Vec<_> = listeners.iter().map(listener).collect::<Option<_>>()?;
                let all = listeners.iter().map(|listener| listener.sockets);
                let all = all.fold(0, usize::saturating_add);
                if all > MAX_DESCRIPTORS {
                    return None;
                }
                let tickets = content.get("tickets")?.as_array()?;
                let tickets = tickets.iter().map(tickets_from_json);
                Self::Listeners(listeners, tickets.collect::<Option<_>>()?)
            }
            "ready" => Self::Ready,
            "serve" => Self::Serve,
            "serving" => Self::Serving,
            "released" => Self::Released,
            "kept" => Self::Kept,
            _ => return None,
        })
    }
}

fn tickets_from_json(content: &Value) -> Option<Tickets> {
    let addr = |addr: &Value| addr.as_str()?.parse().ok();
    let octet = |octet: &Value| u8::try_from(octet.as_u64()?).ok();
    let secret = |secret: &Value| {
        let octets: Option<Vec<_>> = secret.as_array()?.iter().map(octet).collect();
        Some(Secret::from_octets(octets?.try_into().ok()?))
    };
    let addrs = content.get("listen")?.as_array()?.iter().map(addr);
    let previous = content.get("previous")?;
    let keys = TicketKeys {
        current: secret(content.get("current")?)?,
        previous: match previous.is_null() {
            true => None,
            false => Some(secret(previous)?),
        },
        age: Duration::from_secs(content.get("age")?.as_u64()?),
    };
    Some((addrs.collect::<Option<_>>()?, keys))
}

/// Sends descriptors, which the other process gets duplicates of.
pub(super) fn send_descriptors<Fd: AsFd>(stream: &UnixStream, all: &[Fd]) -> io::Result<()> {
    for some in all.chunks(AT_ONCE) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&some)) {
            return Err(invalid("too many descriptors at once"));
        }
        let octet = [IoSlice::new(b"d")];
        sendmsg(stream, &octet, &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Receives that many descriptors.
pub(super) fn receive_descriptors(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut octet = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut octets = [IoSliceMut::new(&mut octet)];
        let received = recvmsg(stream, &mut octets, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = all.len();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                all.extend(some);
            }
        }
        // Fewer come where this process may have no more descriptors.
        if all.len() != count.min(before + AT_ONCE) {
            return Err(invalid(
                "not all descriptors have come: the limit of open files may be too low",
            ));
        }
    }
    Ok(all)
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::Shutdown;

    use super::*;

    fn listener(sockets: usize) -> Listener {
        Listener {
            configured: "127.0.0.1:0".parse().unwrap(),
            addr: "127.0.0.1:8080".parse().unwrap(),
            is_shared: false,
            sockets,
            has_file: false,
        }
    }

    fn tickets(has_previous: bool) -> Tickets {
        let addrs = ["127.0.0.1:443", "[::1]:443"].map(|addr| addr.parse().unwrap());
        let keys = TicketKeys {
            current: Secret::from_octets([7; Secret::LENGTH]),
            previous: has_previous.then(|| Secret::from_octets([8; Secret::LENGTH])),
            age: Duration::from_secs(60),
        };
        (addrs.into(), keys)
    }

    /// What is read of these octets, behind which the connection ends.
    fn read(octets: &[u8]) -> io::Result<Message> {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.write_all(octets).unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        Message::receive(&mut theirs)
    }

    #[test]
    fn messages_arrive_as_they_were_sent_and_not_in_parts() {
        let unix = Listener {
            configured: "unix:/run/a b.sock".parse().unwrap(),
            addr: "unix:/run/a b.sock".parse().unwrap(),
            is_shared: true,
            has_file: true,
            ..listener(1)
        };
        for message in [
            Message::Take,
            Message::Listeners(vec![listener(4), unix], vec![tickets(true), tickets(false)]),
            Message::Listeners(Vec::new(), Vec::new()),
            Message::Ready,
            Message::Serve,
            Message::Serving,
            Message::Released,
            Message::Kept,
        ] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            message.send(&mut ours).unwrap();
            drop(ours);
            let mut octets = Vec::new();
            theirs.read_to_end(&mut octets).unwrap();
            assert_eq!(read(&octets).unwrap(), message);
            for end in 0..octets.len() {
                let error = read(&octets[..end]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let of = |version: u16, content: &str| {
            let length = u32::try_from(content.len()).unwrap();
            let head = [&version.to_be_bytes()[..], &length.to_be_bytes()].concat();
            [&MAGIC[..], &head, content.as_bytes()].concat()
        };
        let long = [&MAGIC[..], &[0, 2, 0xff, 0xff, 0xff, 0xff]].concat();
        let many = Message::Listeners(vec![listener(MAX_DESCRIPTORS), listener(1)], Vec::new());
        for (octets, told) in [
            (b"GET / HTTP/1.1\r\n".to_vec(), "no gateway"),
            (of(1, "{}"), "by version 1, this one by version 2"),
            (of(2, "{}"), "not understood"),
            (of(2, "{\"message\":\"give\"}"), "not understood"),
            (of(2, "{\"message\":\"listeners\"}"), "not understood"),
            (of(2, &many.to_json().to_string()), "not understood"),
            (of(2, "take"), "expected"),
            (long, "too long"),
        ] {
            let error = read(&octets).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn all_descriptors_arrive_in_order_and_too_few_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let open = |index: usize| {
            let file = folder.path().join(index.to_string());
            std::fs::write(&file, index.to_string()).unwrap();
            File::open(file).unwrap()
        };
        for count in [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE - 1] {
            let all: Vec<_> = (0..count).map(open).collect();
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            send_descriptors(&ours, &all).unwrap();
            Message::Serving.send(&mut ours).unwrap();
            let came = receive_descriptors(&theirs, count).unwrap();
            assert_eq!(came.len(), count);
            for (index, file) in came.into_iter().enumerate() {
                let mut text = String::new();
                File::from(file).read_to_string(&mut text).unwrap();
                assert_eq!(text, index.to_string());
            }
            // What follows is whole.
            assert_eq!(Message::receive(&mut theirs).unwrap(), Message::Serving);
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        send_descriptors(&ours, &[open(0)]).unwrap();
        assert!(receive_descriptors(&theirs, 2).is_err());
    }
}
