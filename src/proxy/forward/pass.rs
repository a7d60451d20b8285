//! Requests that the cache has no say in: forwarded as they are. A write owes an invalidation, which is paid whether
//! or not its client stays.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    AGE, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, MAX_FORWARDS, ORIGIN, UPGRADE,
};
use http::{Method, Response, StatusCode};
use tokio::sync::oneshot;

use crate::cache::resource::Unshared;
use crate::cache::stored::StoredResponse;
use crate::config::EtagMode;
use crate::error::Error;
use crate::proxy::admission::Admission;
use crate::proxy::fill::update::{Asked, Update};
use crate::proxy::fleet::{HELD, Invalidated};
use crate::proxy::forward::arrived::{Arrived, OwnInvalidation};
use crate::proxy::forward::content;
use crate::proxy::forward::fetch::{Context, fetch};
use crate::proxy::forward::fields::{self, Conditions};
use crate::proxy::forward::invalidation::InvalidationPermit;
use crate::proxy::forward::upgrade;
use crate::proxy::lookup::{detail_of, select};
use crate::proxy::request::{Class, Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::envelope::Envelope;
use crate::proxy::tagged::tags_of;
use crate::proxy::worker::Worker;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::cache_status::Detail;
use crate::semantics::field_line::write_line;
use crate::semantics::freshness::Freshness;
use crate::semantics::media_type::is_grpc;
use crate::semantics::method::{ALLOWED, is_idempotent};
use crate::semantics::post;
use crate::semantics::storability::{
    Storability, StoreInput, assess, names_negotiation, refused_by_directives,
};
use crate::semantics::tags;
use crate::semantics::validation::{HeadOutcome, Stored, compare_with_head};
use crate::upstream::{Maker, Outgoing, RequestBody, Upload, UpstreamBody};

/// Sends the client's request on, as it is, and returns the answer.
///
/// `read` is its content, where that has been read already. `admission` is held until the head of the answer is here.
///
/// # Errors
/// An [`Error`] of either side.
pub async fn forward(
    worker: &Rc<Worker>,
    request: &mut Request,
    envelope: &Envelope,
    read: Option<Bytes>,
    admission: Admission,
) -> Result<Box<Arrived>, Error> {
    let hints = envelope.hints.as_ref();
    let content = match read {
        Some(content) => RequestBody::Full(content),
        None => content::to_pass_on(request, envelope.until)?,
    };
    let upstreams = &request.epoch.upstreams;
    let is_empty = matches!(content, RequestBody::Empty);
    let upstream = request.route.destination.upstream();
    let outgoing = Outgoing {
        upstream,
        request: fields::request(request, hints, Conditions::Client, content)?,
        idempotent: is_idempotent(request.method()),
        response_timeout: request.route.limits.response_timeout,
        max_retries: request.route.limits.max_retries,
        hash: upstreams
            .wants_hash(upstream)
            .then(|| request.key(&worker.gateway.store).stable_hash()),
        waiting: request.waiting.clone(),
        trace: request.parent(),
    };
    let mut invalidation = None;
    let (response, requested) = if request.class == Class::Unsafe {
        let requested = worker.gateway.clock.now();
        let written = write(worker, request, outgoing, admission).await?;
        if let Some(invalidated) = written.invalidation {
            let gateway = &worker.gateway;
            invalidation = Some(OwnInvalidation {
                number: invalidated.applied.sequence,
                acknowledgement: gateway.acknowledged(invalidated, HELD).await,
            });
        }
        (written.response, requested)
    } else {
        let make = || fields::request(request, hints, Conditions::Client, RequestBody::Empty).ok();
        let make: Option<&Maker<'_>> = if is_empty { Some(&make) } else { None };
        let answer = fetch(context_of(worker, request), outgoing, make).await?;
        drop(admission);
        answer
    };
    let upgrade = upgrade::for_client(request, response.status(), response.headers())?;
    let mut arrived = context_of(worker, request).arrived(response, requested, true);
    arrived.invalidation = invalidation;
    request.now = arrived.received;
    if let Some(protocols) = upgrade {
        let headers = &mut arrived.headers;
        headers.insert(UPGRADE, protocols);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if request.class == Class::Head {
        head_freshens(worker, request, &arrived);
    }
    Ok(arrived)
}

fn context_of<'a>(worker: &'a Rc<Worker>, request: &'a Request) -> Context<'a> {
    Context {
        worker,
        epoch: &request.epoch,
        route: &request.route,
        target: &request.target,
        fields: request.headers(),
    }
}

/// Whether the answer to a POST says that it is what a GET of the target would bring (RFC 9110 §9.3.3).
pub fn answers_a_get(request: &Request, arrived: &Arrived) -> bool {
    // Most responses have no such field, and need no target of their own to be told so.
    *request.method() == Method::POST
        && arrived.headers.contains_key(CONTENT_LOCATION)
        && post::answers_get(&request.target.to_uri(), arrived.status, &arrived.headers)
}

/// A write's answer.
struct WriteAnswer {
    response: Response<UpstreamBody>,
    /// `None` where it invalidates nothing.
    invalidation: Option<Invalidated>,
}

/// Sends a write from a task of its own: once it is sent, it is carried to its end, and its invalidation with it, when the
/// client leaves before the answer. As long as it waits for a connection, it leaves with its client.
/// A gRPC call ends with its client, which is how deadlines travel there.
async fn write(
    worker: &Rc<Worker>,
    request: &Request,
    outgoing: Outgoing,
    admission: Admission,
) -> Result<WriteAnswer, Error> {
    let permit = InvalidationPermit::new(worker, request);
    let upstreams = request.epoch.upstreams.clone();
    let is_call = is_grpc(request.headers());
    let upload = outgoing.request.body().upload();
    let waiting = outgoing.waiting.clone().unwrap_or_default();
    let outgoing = Outgoing {
        waiting: Some(waiting.clone()),
        ..outgoing
    };
    let (mut sender, receiver) = oneshot::channel();
    worker.spawn(async move {
        // Ready when the client has left, and the write ends with that.
        let left = async {
            sender.closed().await;
            if waiting.is_sent() && !is_call {
                std::future::pending::<()>().await;
            }
        };
        let answer = tokio::select! {
            answer = upstreams.send(outgoing) => answer,
            () = left => {
                let is_whole = upload.as_ref().is_none_or(Upload::is_whole);
                permit.unanswered(waiting.is_sent(), is_whole);
                return;
            }
        };
        drop(admission);
        let answer = match answer {
            Ok(response) => {
                let server = response.body().server();
                let (status, fields) = (response.status(), response.headers());
                Ok(WriteAnswer {
                    invalidation: permit.finish(status, fields, server),
                    response,
                })
            }
            Err(error) => {
                let is_broken_off = upload.as_ref().is_some_and(Upload::was_broken_off);
                permit.unanswered(waiting.is_sent(), !is_broken_off);
                Err(error)
            }
        };
        // A client that is gone needs no answer.
        drop(sender.send(answer));
    });
    receiver.await.unwrap_or_else(|_| Err(Error::internal()))
}

/// Whether the response to a GET like this request may be stored.
pub fn storability(request: &Request, arrived: &Arrived) -> Storability {
    let (status, headers, policy) = (arrived.status, &arrived.headers, &request.route.cache);
    let directives = ResponseDirectives::parse(headers, &policy.targeted_fields);
    // Most responses that are passed on say so themselves: nothing else need be known of those.
    if status == StatusCode::OK
        && let Some(why) = refused_by_directives(headers, &directives, policy)
    {
        return Storability::Refuse(why);
    }
    let credentials = request.credentials;
    let (receipt, credentialed) = (arrived.receipt(), credentials.any());
    let freshness = Freshness::compute(status, headers, &directives, receipt, credentialed, policy);
    assess(&StoreInput {
        method: &Method::GET,
        request: request.directives,
        credentials,
        preconditioned: request.traits.any(Traits::SELECTIVE),
        negotiated: status == StatusCode::NOT_ACCEPTABLE
            && names_negotiation(request.headers(), headers),
        answers_get: false,
        status,
        headers,
        directives: &directives,
        freshness: &freshness,
        policy,
    })
}

/// Why the response to a GET like this request would not be stored, as far as its fields tell; `None` for requests whose
/// Cache-Status says why by `fwd`.
pub fn why_not_stored(request: &Request, arrived: &Arrived) -> Option<Detail> {
    let is_asked = request.class == Class::Head || request.directives.no_store;
    if !is_asked || !request.class.is_looked_up() || request.is_bypassed() {
        return None;
    }
    if let Storability::Refuse(why) = storability(request, arrived) {
        return Some(Detail::NotStored(why));
    }
    let length = arrived.headers.get(CONTENT_LENGTH)?;
    let length = length.to_str().ok()?.parse::<u64>();
    let is_too_large = length.is_ok_and(|length| length > request.route.max_stored_body);
    is_too_large.then(|| detail_of(Unshared::TooLarge))
}

/// Updates the response that is stored for a GET by the answer to a HEAD (RFC 9111 §4.3.5).
fn head_freshens(worker: &Worker, request: &Request, arrived: &Arrived) {
    let (status, receipt) = (arrived.status, arrived.receipt());
    let mut fields = Cow::Borrowed(&arrived.headers);
    if request.route.etag == EtagMode::Replace {
        // The stored response's tag is ours, and theirs is not believed.
        fields.to_mut().remove(ETAG);
    }
    let fields = &*fields;
    let store = &worker.gateway.store;
    let key = request.key(store);
    let Some(resource) = store.look_up(key) else {
        return;
    };
    let Some(stored) = select(store, &resource, request) else {
        return;
    };
    let length = Some(stored.complete_length());
    let head = &stored.head;
    let origin_fields = head.origin_fields();
    let compared = Stored {
        status: head.status,
        headers: &origin_fields,
        length,
    };
    let new = match compare_with_head(&compared, status, fields) {
        HeadOutcome::Ignore => return,
        HeadOutcome::Invalidate => head.expired(),
        HeadOutcome::Update => {
            let asked = Asked {
                method: &Method::GET,
                directives: request.directives,
                credentials: request.credentials,
                has_origin: request.headers().contains_key(ORIGIN),
                route: &request.route,
            };
            let update = Update::of(head, fields, receipt, asked);
            match update.storable {
                Ok(mut headers) => {
                    if let Some(age) = update.age {
                        headers.insert(AGE, age);
                    }
                    let lines = tags::updated(&head.tags(), &arrived.tags);
                    let path = request.target.path_and_query();
                    let tags = tags_of(&request.route, path, &headers, &lines);
                    let freshness = arrived.believed(update.freshness);
                    let asked = (request.headers(), &request.route.cache.vary);
                    let head = head.freshened(headers, freshness, receipt, request.now.mono, asked);
                    match tags {
                        Ok(tags) => head.tagged(tags, lines),
                        Err(_) => head.expired(),
                    }
                }
                Err(Storability::Refuse(why))
                    if why.is_in_response() && !request.credentials.any() =>
                {
                    head.expired()
                }
                // This client's answer says nothing to others.
                Err(_) => return,
            }
        }
    };
    let content = stored.content();
    let token = store.token(StoredResponse::cost(&new, &content));
    let new = StoredResponse::new(new, content, token);
    store.update(key, &[(stored, Arc::new(new))]);
    // What is kept there is not what it was; it is kept again when it is stored again.
    worker.gateway.tiers.remove(&store.canonical(key.as_str()));
}

/// Answers OPTIONS and TRACE whose Max-Forwards is used up; lowers it otherwise (RFC 9110 §7.6.2).
pub fn max_forwards(worker: &Worker, request: &mut Request) -> Option<Response<Body>> {
    if !matches!(*request.method(), Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let hops: u32 = request
        .headers()
        .get(MAX_FORWARDS)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    if hops > 0 {
        request
            .parts
            .headers
            .insert(MAX_FORWARDS, (hops - 1).into());
        return None;
    }
    let mut response = if *request.method() == Method::TRACE {
        let body = Body::full(trace(request).into(), &worker.counters);
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("message/http"));
        response
    } else {
        Response::new(Body::empty())
    };
    response.headers_mut().insert(ALLOW, ALLOWED);
    worker.date(&mut response, request.now);
    Some(response)
}

/// The request as it was received, without what might be sensitive (RFC 9110 §9.3.8).
fn trace(request: &Request) -> Vec<u8> {
    let sensitive = |name: &HeaderName| {
        use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
        [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
            || request.route.cache.credential_fields.contains(name)
    };
    let mut text = format!(
        "{} {} HTTP/1.1\r\n",
        request.method(),
        request.path_and_query()
    )
    .into_bytes();
    for (name, value) in request
        .received()
        .iter()
        .filter(|(name, _)| !sensitive(name))
    {
        write_line(name.as_str(), value.as_bytes(), &mut text);
    }
    text.extend_from_slice(b"\r\n");
    text
}
