//! What a listener without TLS answers itself, before limits, routes and the cache: the challenges of a certificate authority,
//! and everything where it redirects to https.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};

use super::challenges::OwnAnswers;
use super::request::Request;
use super::response::body::Body;
use super::worker::Worker;
use crate::error::Error;
use crate::semantics::cache_status::{CacheStatus, Detail};

impl Worker {
    /// `None` where the request is to be served.
    ///
    /// # Errors
    /// A downstream [`Error`] when the request cannot be redirected.
    pub(super) fn answer_itself(
        &self,
        request: &Request,
        own: &OwnAnswers,
    ) -> Result<Option<Response<Body>>, Error> {
        // Before the redirect: where it leads, there may be no certificate yet.
        if matches!(*request.method(), Method::GET | Method::HEAD)
            && let Some(answer) = own.challenges.find(request.target.path_and_query())
        {
            return Ok(Some(self.answer_challenge(request, answer)));
        }
        let redirect = own.redirect.map(|port| self.redirect(request, port));
        redirect.transpose()
    }

    fn answer_challenge(&self, request: &Request, answer: Bytes) -> Response<Body> {
        let body = match *request.method() {
            Method::HEAD => Body::empty(),
            _ => Body::full(answer, &self.counters),
        };
        let mut response = Response::new(body);
        let fields = response.headers_mut();
        // RFC 8555 §8.3: the media type SHOULD be this one.
        let octets = HeaderValue::from_static("application/octet-stream");
        fields.insert(CONTENT_TYPE, octets);
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        self.date(&mut response, request.now);
        let status = CacheStatus {
            detail: Some(Detail::Other("acme-challenge")),
            ..CacheStatus::default()
        };
        self.sign(&mut response, request, status);
        response
    }
}
