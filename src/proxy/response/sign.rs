//! Every response gets Via, Cache-Status and a line in the access log, and is counted, whether an API or the gateway made it.

use http::Response;
use http::header::{ORIGIN, TRAILER};

use crate::cache::head::Head;
use crate::cache::resource::Resource;
use crate::proxy::forward::fields::add_via;
use crate::proxy::request::Request;
use crate::proxy::response::body::Body;
use crate::proxy::response::error::Reported;
use crate::proxy::response::logged;
use crate::proxy::response::spanned;
use crate::proxy::response::trace;
use crate::proxy::response::wire_head::gets_trailers;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CACHE_STATUS, CacheStatus};
use crate::semantics::cors;

impl Worker {
    /// Lets the page of another origin read an error of the gateway's, where what is stored for the URL, or else the latest
    /// answer on its route, says that its API allows that page to read it (Fetch, "CORS check").
    pub(in crate::proxy) fn grant_reading(&self, response: &mut Response<Body>, request: &Request) {
        let store = &self.gateway.store;
        let Some(page) = request.headers().get(ORIGIN) else {
            return;
        };
        let resource = store.look_up(request.key(store));
        let mut stored = resource.iter().flat_map(Resource::variants);
        let granted = stored
            .find_map(|stored| cors::grant(page.as_bytes(), &stored.head.fields.to_map()))
            .or_else(|| {
                let (target, route) = (request.target.as_str(), &request.route.name);
                store.cors().granted(target, route, request.headers())
            });
        response.headers_mut().extend(granted.unwrap_or_default());
    }

    /// Adds what every response carries: Via, and Cache-Status last.
    pub fn sign(&self, response: &mut Response<Body>, request: &Request, status: CacheStatus) {
        self.sign_with(response, request, status, None);
    }

    /// The same for an answer from a stored response, or from one that is being stored, with this head.
    pub(super) fn sign_with(
        &self,
        response: &mut Response<Body>,
        request: &Request,
        mut status: CacheStatus,
        head: Option<&Head>,
    ) {
        if request.route.debug {
            status.key = Some(request.shown_key().into());
        }
        if response.headers().contains_key(TRAILER) {
            let body = response.body();
            if !body.may_trail() || !gets_trailers(&request.parts, body) {
                response.headers_mut().remove(TRAILER);
            }
        }
        if let Some(edits) = &request.route.response_fields
            && !response.status().is_informational()
        {
            let (status, own) = (response.status(), response.extensions().get::<Reported>());
            let own = own.is_some();
            edits.edit_response(response.headers_mut(), status, own, request);
        }
        trace::add(response, request, &status, head);
        let (fields, identity) = (response.headers_mut(), &request.epoch.settings.identity);
        add_via(fields, identity, request.route.destination.upstream());
        let signed = request.epoch.prepared.cache_status(&status, identity);
        fields.append(CACHE_STATUS, signed);
        self.log(response, request, &status);
    }

    /// Counts the exchange by what its Cache-Status says, and has its line written: each has one of both.
    pub(in crate::proxy) fn log(
        &self,
        response: &mut Response<Body>,
        request: &Request,
        status: &CacheStatus,
    ) {
        self.count(response, request, status);
        match status.hit {
            true => self.sample_request(response, request),
            false => self.note(response, request, status),
        }
        if self.access.is_on() {
            logged::follow(self, response, request, status);
        }
        if request.recording().is_some() {
            spanned::follow(response, request, status);
        }
    }
}
