//! A request's head: refused, or read for its target.

use http::header::{HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use super::field_names::{CDN_LOOP, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use super::peer::Peer;
use super::target::Target;
use super::traits::Traits;
use crate::error::{Error, ErrorKind};
use crate::proxy::epoch::Epoch;
use crate::semantics::authority::{BadTarget, Scheme, TargetView, path_and_query};
use crate::semantics::list::members;

/// The target of a request that may be answered.
pub(super) fn read_head(
    parts: &Parts,
    traits: Traits,
    peer: &Peer,
    epoch: &Epoch,
    before: Target,
) -> Result<Target, Error> {
    refuse_loops(&parts.headers, traits, epoch)?;
    if traits.any(Traits::THIS_HOP) {
        refuse_codings(&parts.headers)?;
    }
    let is_believed = traits.any(Traits::FORWARDED)
        && peer.is_trusted(&epoch.settings.config.server.trusted_proxies);
    read_target(parts, peer.scheme, is_believed, before)
}

/// RFC 8586: a request that carries our own member has been here before.
fn refuse_loops(headers: &HeaderMap, traits: Traits, epoch: &Epoch) -> Result<(), Error> {
    if !traits.any(Traits::CDN_LOOP) {
        return Ok(());
    }
    let own = epoch.settings.identity.cdn_loop.as_bytes();
    let members = headers
        .get_all(CDN_LOOP)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    if members.map(<[u8]>::trim_ascii).any(|member| member == own) {
        return Err(Error::downstream(ErrorKind::LoopDetected));
    }
    Ok(())
}

/// RFC 9112 §6.1: content in a coding that we do not undo is not for us to pass on as if it were plain: 501. Chunked
/// more than once is malformed.
fn refuse_codings(headers: &HeaderMap) -> Result<(), Error> {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let codings = members(headers, &TRANSFER_ENCODING);
    let (chunked, others): (Vec<_>, Vec<_>) =
        codings.partition(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    let malformed = Error::downstream(ErrorKind::BadRequest);
    match (chunked.len(), others.len()) {
        (1, 0) => Ok(()),
        (1, _) => Err(malformed
            .answered(StatusCode::NOT_IMPLEMENTED)
            .detail("no transfer coding but chunked is understood")),
        _ => Err(malformed.detail("Transfer-Encoding is not chunked once")),
    }
}

/// `own` is the scheme of the connection; what a trusted proxy says of the client's goes before, if `is_believed`.
fn read_target(
    parts: &Parts,
    own: Scheme,
    is_believed: bool,
    before: Target,
) -> Result<Target, Error> {
    let bad =
        |reason: BadTarget| Error::downstream(ErrorKind::BadRequest).detail(reason.to_string());
    if parts.method == Method::CONNECT {
        return Err(Error::downstream(ErrorKind::MethodNotAllowed));
    }
    let (scheme, host) = match is_believed {
        true => (
            match parts
                .headers
                .get(X_FORWARDED_PROTO)
                .map(HeaderValue::as_bytes)
            {
                Some(proto) if proto.eq_ignore_ascii_case(b"https") => Scheme::Https,
                Some(proto) if proto.eq_ignore_ascii_case(b"http") => Scheme::Http,
                _ => own,
            },
            parts.headers.get(X_FORWARDED_HOST),
        ),
        false => (own, None),
    };
    if host.is_none() && before.shares_origin(parts, scheme) {
        let path_and_query = path_and_query(&parts.method, &parts.uri).map_err(bad)?;
        return Ok(before.with(&path_and_query));
    }
    let view = TargetView::from_request(
        &parts.method,
        &parts.uri,
        &parts.headers,
        scheme,
        parts.version,
    );
    let mut view = view.map_err(bad)?;
    let Some(host) = host else {
        return Ok(Target::write(&view, before));
    };
    // A trusted proxy's name for the host is read as a Host field is.
    let stand_in = HeaderMap::from_iter([(HOST, host.clone())]);
    let path = Uri::from_static("/");
    let named = TargetView::from_request(&Method::GET, &path, &stand_in, scheme, Version::HTTP_11);
    view.authority = named.map_err(bad)?.authority;
    Ok(Target::write(&view, before))
}
