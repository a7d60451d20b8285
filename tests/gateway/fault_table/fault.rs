//! What a fault is: what the API does, at which point, and what that is to the client.

/// The content of every whole answer.
pub const BODY: &str = "a whole book";

/// A fault.
pub struct Fault<C> {
    pub what: &'static str,
    pub point: &'static str,
    pub act: Act<C>,
    pub outcome: Outcome,
}

/// When the fault happens, and how, on a connection of the API's.
pub enum Act<C> {
    /// The port is closed.
    Refuse,
    /// Before a request has been read whole.
    Accepting(fn(&mut C)),
    /// In answer to a request.
    Answering(fn(&mut C)),
    /// In answer to the second request and any later one on a connection: the first is answered well.
    Reusing(fn(&mut C)),
    /// In answer to the first request; whatever comes after that is answered well.
    Once(fn(&mut C)),
    /// In answer to the first request on a connection, a good one, and beyond it.
    Overdoing(fn(&mut C)),
}

impl<C> Fault<C> {
    /// Whether it takes a deadline to find it out.
    pub fn is_silence(&self) -> bool {
        matches!(self.what, "flood" | "stalls" | "1xx")
    }
}

/// What it is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No response: the gateway's own answer with this status and Proxy-Status error type; with `|` between those
    /// that depend on what comes first.
    Error(u16, &'static str),
    /// A response that broke off.
    Aborted,
    /// A response that broke off, and would not have been stored: what was stored has been superseded by its head.
    Superseded,
    /// A response that is whole and may be stored.
    Whole,
    /// A response that is whole, as far as can be known.
    Unverified,
    /// What cannot be sent twice gets this error; all else is sent again and answered well.
    Repeated(u16, &'static str),
    /// It is sent again and answered well, since nothing was done with it.
    Refused,
    /// What has content gets this error; all else is answered well.
    Uploading(u16, &'static str),
}

pub const fn fault<C>(
    what: &'static str,
    point: &'static str,
    act: Act<C>,
    outcome: Outcome,
) -> Fault<C> {
    Fault {
        what,
        point,
        act,
        outcome,
    }
}

pub const GONE: Outcome = Outcome::Error(502, "connection_terminated");
pub const LATE: Outcome = Outcome::Error(504, "http_response_timeout");
pub const WRONG: Outcome = Outcome::Error(502, "http_protocol_error");
pub const LARGE: Outcome = Outcome::Error(502, "http_response_header_section_size");
