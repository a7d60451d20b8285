//! The parts of a response's head that depend on the client's protocol: its reason phrase, and whether trailers follow.

use http::request::Parts;
use http::{Response, Version};
use http_body::Body;
use hyper::ext::ReasonPhrase;

use crate::cache::head::Head;
use crate::semantics::hop_by_hop;

/// The API's reason phrase, where the client gets the API's status.
pub fn give_reason<B>(response: &mut Response<B>, head: &Head) {
    if response.status() == head.status
        && let Some(reason) = head.reason()
        && let Ok(reason) = ReasonPhrase::try_from(reason)
    {
        response.extensions_mut().insert(reason);
    }
}

/// Whether the client of `request` gets trailers that come behind `content`: over HTTP/1.1 only where it takes them (RFC 9110
/// §6.5.1), and behind chunked content.
pub fn gets_trailers(request: &Parts, content: &impl Body) -> bool {
    request.version >= Version::HTTP_2
        || content.size_hint().exact().is_none() && hop_by_hop::takes_trailers(&request.headers)
}
