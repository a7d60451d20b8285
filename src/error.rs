//! What can go wrong between a client and an answer, told once: whose side failed, how, and which status and
//! Proxy-Status (RFC 9209) follow from it. `proxy::rescue` is the only place that turns an [`Error`] into a response.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// Whose side of the gateway failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The API behind the gateway.
    Upstream,
    /// The client in front of it.
    Downstream,
    /// The gateway itself.
    Internal,
}

/// How it failed. Each kind has one HTTP status and one Proxy-Status error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The upstream's name did not resolve.
    Dns,
    /// The upstream refused the connection, or no route led to it.
    ConnectionRefused,
    /// No connection within the connect deadline.
    ConnectionTimeout,
    /// The connection closed or reset before a whole response head was read.
    ConnectionTerminated,
    /// The connection could not be read or written for another reason.
    ConnectionIo,
    /// All connections that the configuration allows are in use, and the queue is full or its deadline passed.
    ConnectionLimit,
    /// Every upstream server is ejected as unhealthy, or its circuit is open.
    DestinationUnavailable,
    /// The TLS handshake failed.
    TlsProtocol,
    /// The upstream's certificate was not accepted.
    TlsCertificate,
    /// The TLS handshake took longer than its deadline.
    TlsTimeout,
    /// The upstream's response head did not come within its deadline.
    ResponseTimeout,
    /// The upstream's response body stalled longer than its deadline.
    ResponseBodyTimeout,
    /// The upstream's response was not HTTP, or broke its framing.
    ResponseProtocol,
    /// The upstream's response head is larger than allowed.
    ResponseHeadTooLarge,
    /// The response body ended before its declared end.
    ResponseIncomplete,
    /// The request is malformed.
    BadRequest,
    /// The request's target is longer than allowed.
    UriTooLong,
    /// The request's fields are larger than allowed.
    HeadTooLarge,
    /// The request's content is larger than allowed.
    ContentTooLarge,
    /// The request's head did not arrive within its deadline.
    RequestTimeout,
    /// The request's content stalled longer than its deadline, or came more slowly than it has to.
    RequestBodyTimeout,
    /// The whole exchange took longer than it may.
    ExchangeTimeout,
    /// The client went away, or its request body broke off.
    ClientGone,
    /// A reader fell behind the window of an unstored body.
    ReaderTooSlow,
    /// The client took nothing of a response that waited for it, for longer than its deadline.
    ClientWriteTimeout,
    /// A connection that speaks another protocol was silent in both directions for longer than its deadline.
    TunnelTimeout,
    /// The method is one that this gateway refuses (CONNECT).
    MethodNotAllowed,
    /// No route takes the request, and there is no API for such.
    NoRoute,
    /// The request has already passed through this gateway (RFC 8586).
    LoopDetected,
    /// The gateway sheds load.
    Overloaded,
    /// The client asked more often than it may.
    RateLimited,
    /// The request asked for a stored response only, and none is suitable (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The client's address is not among those that may ask.
    AddressDenied,
    /// The route asks who it is, and the request does not say it.
    Unauthorized,
    /// A preflight of a page that the route's CORS does not allow.
    OriginDenied,
    /// A fault of the gateway's own.
    Internal,
}

impl ErrorKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 36] = [
        Self::Dns,
        Self::ConnectionRefused,
        Self::ConnectionTimeout,
        Self::ConnectionTerminated,
        Self::ConnectionIo,
        Self::ConnectionLimit,
        Self::DestinationUnavailable,
        Self::TlsProtocol,
        Self::TlsCertificate,
        Self::TlsTimeout,
        Self::ResponseTimeout,
        Self::ResponseBodyTimeout,
        Self::ResponseProtocol,
        Self::ResponseHeadTooLarge,
        Self::ResponseIncomplete,
        Self::BadRequest,
        Self::UriTooLong,
        Self::HeadTooLarge,
        Self::ContentTooLarge,
        Self::RequestTimeout,
        Self::RequestBodyTimeout,
        Self::ExchangeTimeout,
        Self::ClientGone,
        Self::ReaderTooSlow,
        Self::ClientWriteTimeout,
        Self::TunnelTimeout,
        Self::MethodNotAllowed,
        Self::NoRoute,
        Self::LoopDetected,
        Self::Overloaded,
        Self::RateLimited,
        Self::OnlyIfCached,
        Self::AddressDenied,
        Self::Unauthorized,
        Self::OriginDenied,
        Self::Internal,
    ];

    /// Its name in the access log, in the bodies of errors and in the metrics.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionIo => "connection_io",
            Self::ConnectionLimit => "connection_limit",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::TlsProtocol => "tls_protocol",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsTimeout => "tls_timeout",
            Self::ResponseTimeout => "response_timeout",
            Self::ResponseBodyTimeout => "response_body_timeout",
            Self::ResponseProtocol => "response_protocol",
            Self::ResponseHeadTooLarge => "response_head_too_large",
            Self::ResponseIncomplete => "response_incomplete",
            Self::BadRequest => "bad_request",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::ContentTooLarge => "content_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::RequestBodyTimeout => "request_body_timeout",
            Self::ExchangeTimeout => "exchange_timeout",
            Self::ClientGone => "client_gone",
            Self::ReaderTooSlow => "reader_too_slow",
            Self::ClientWriteTimeout => "client_write_timeout",
            Self::TunnelTimeout => "tunnel_timeout",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoRoute => "no_route",
            Self::LoopDetected => "loop_detected",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::OnlyIfCached => "only_if_cached",
            Self::AddressDenied => "address_denied",
            Self::Unauthorized => "unauthorized",
            Self::OriginDenied => "origin_denied",
            Self::Internal => "internal",
        }
    }

    /// The status of the response that reports this kind.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Dns
            | Self::ConnectionRefused
            | Self::ConnectionTerminated
            | Self::ConnectionIo
            | Self::TlsProtocol
            | Self::TlsCertificate
            | Self::ResponseProtocol
            | Self::ResponseHeadTooLarge
            | Self::ResponseIncomplete
            | Self::ReaderTooSlow
            | Self::ClientWriteTimeout => StatusCode::BAD_GATEWAY,
            Self::ConnectionTimeout
            | Self::TlsTimeout
            | Self::ResponseTimeout
            | Self::ResponseBodyTimeout
            | Self::ExchangeTimeout
            | Self::TunnelTimeout
            | Self::OnlyIfCached => StatusCode::GATEWAY_TIMEOUT,
            Self::ConnectionLimit | Self::DestinationUnavailable | Self::Overloaded => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::BadRequest | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout | Self::RequestBodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::LoopDetected => StatusCode::LOOP_DETECTED,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::AddressDenied | Self::OriginDenied => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The error type of RFC 9209 §2.3 that names this kind.
    pub fn proxy_status_type(self) -> &'static str {
        match self {
            Self::Dns => "dns_error",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ConnectionIo => "connection_terminated",
            Self::ConnectionLimit => "connection_limit_reached",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::TlsProtocol | Self::TlsTimeout => "tls_protocol_error",
            Self::TlsCertificate => "tls_certificate_error",
            Self::ResponseTimeout | Self::ExchangeTimeout => "http_response_timeout",
            Self::ResponseBodyTimeout
            | Self::ResponseIncomplete
            | Self::ReaderTooSlow
            | Self::ClientWriteTimeout => "http_response_incomplete",
            Self::TunnelTimeout => "connection_read_timeout",
            Self::ResponseProtocol => "http_protocol_error",
            Self::ResponseHeadTooLarge => "http_response_header_section_size",
            Self::BadRequest
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::ContentTooLarge
            | Self::RequestTimeout
            | Self::RequestBodyTimeout
            | Self::MethodNotAllowed
            | Self::ClientGone
            | Self::OnlyIfCached => "http_request_error",
            Self::NoRoute => "destination_not_found",
            Self::LoopDetected => "proxy_loop_detected",
            Self::Overloaded
            | Self::RateLimited
            | Self::AddressDenied
            | Self::Unauthorized
            | Self::OriginDenied => "http_request_denied",
            Self::Internal => "proxy_internal_error",
        }
    }

    /// A sentence for the operator and the client: what happened, without addresses or secrets.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Dns => "the upstream's name did not resolve",
            Self::ConnectionRefused => "the upstream refused the connection",
            Self::ConnectionTimeout => {
                "no connection to the upstream within its deadline (connect_timeout)"
            }
            Self::ConnectionTerminated => {
                "the upstream closed the connection before it had answered"
            }
            Self::ConnectionIo => "the connection to the upstream failed",
            Self::ConnectionLimit => "all connections to the upstream are in use",
            Self::DestinationUnavailable => "no upstream server is available",
            Self::TlsProtocol => "the TLS handshake with the upstream failed",
            Self::TlsCertificate => "the upstream's certificate was not accepted",
            Self::TlsTimeout => {
                "the TLS handshake with the upstream took longer than its deadline (tls_timeout)"
            }
            Self::ResponseTimeout => {
                "the upstream did not answer within its deadline (response_timeout)"
            }
            Self::ResponseBodyTimeout => {
                "the upstream's response stalled for longer than its deadline (body_timeout)"
            }
            Self::ResponseProtocol => "the upstream's answer was not valid HTTP",
            Self::ResponseHeadTooLarge => "the upstream's response fields are larger than allowed",
            Self::ResponseIncomplete => "the upstream's response broke off",
            Self::BadRequest => "the request is malformed",
            Self::UriTooLong => "the request target is longer than allowed",
            Self::HeadTooLarge => "the request fields are larger than allowed",
            Self::ContentTooLarge => "the request content is larger than allowed",
            Self::RequestTimeout => "the request did not arrive within its deadline",
            Self::RequestBodyTimeout => "the request content did not arrive within its deadline",
            Self::ExchangeTimeout => {
                "the exchange took longer than its deadline (exchange_timeout)"
            }
            Self::ClientGone => "the request broke off",
            Self::ReaderTooSlow => "the client read too slowly for a response that is not stored",
            Self::ClientWriteTimeout => {
                "the client took nothing of the response within its deadline (write_timeout)"
            }
            Self::TunnelTimeout => {
                "neither side sent anything within the deadline (tunnel_timeout)"
            }
            Self::MethodNotAllowed => "the gateway does not forward this method",
            Self::NoRoute => "no route of the gateway takes this request",
            Self::LoopDetected => "the request has already passed through this gateway (CDN-Loop)",
            Self::Overloaded => "too many requests wait for the upstream",
            Self::RateLimited => "the request is over the rate limit",
            Self::OnlyIfCached => "only-if-cached: no suitable response is stored",
            Self::OriginDenied => "pages of this origin may not read the answers",
            Self::Unauthorized => "this needs a user's name and password, or a token",
            Self::AddressDenied => "the client's address may not ask for this",
            Self::Internal => "an internal fault of the gateway",
        }
    }
}

// Counters of errors are found by these numbers: none may be left out.
const _: () = {
    let mut at = 0;
    while at < ErrorKind::ALL.len() {
        assert!(ErrorKind::ALL[at] as usize == at);
        at += 1;
    }
    assert!(ErrorKind::Internal as usize + 1 == at, "the last one");
};

/// The kind's token.
impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// A failure: how, on whose side, and what caused it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    side: Side,
    detail: Option<Box<str>>,
    /// Where a rule asks for another status than the kind's own.
    status: Option<StatusCode>,
    /// How long it is likely to last.
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn upstream(kind: ErrorKind) -> Self {
        Self::new(kind, Side::Upstream)
    }

    pub fn downstream(kind: ErrorKind) -> Self {
        Self::new(kind, Side::Downstream)
    }

    pub fn internal() -> Self {
        Self::new(ErrorKind::Internal, Side::Internal)
    }

    pub fn new(kind: ErrorKind, side: Side) -> Self {
        Self {
            kind,
            side,
            detail: None,
            status: None,
            retry_after: None,
            source: None,
        }
    }

    /// Keeps what caused this error, for logs.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What exactly was wrong, in words that may be shown to the client.
    pub fn detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Has the response that reports this error carry `status`.
    pub fn answered(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Says how long it is likely to last.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// After what time another request may fare better; `None` where nothing is known of that.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The status of the response that reports this error.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or(self.kind.status())
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn side(&self) -> Side {
        self.side
    }

    /// The detail if one was given, else the kind's own explanation.
    pub fn explanation(&self) -> &str {
        self.detail.as_deref().unwrap_or(self.kind.explanation())
    }

    /// The same failure for another reader of the same fill: the cause is kept as text only.
    pub fn share(&self) -> Self {
        Self {
            kind: self.kind,
            side: self.side,
            detail: self.detail.clone(),
            status: self.status,
            retry_after: self.retry_after,
            source: self.source.as_ref().map(|source| source.to_string().into()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explanation())?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
