//! Remembers for `explain` the outcome of each response that was no plain hit, and counts the URLs that are asked for most.

use http::{Response, StatusCode};
use http_body::Body as _;

use crate::proxy::request::{Class, Request};
use crate::proxy::response::body::Body;
use crate::proxy::response::error::Reported;
use crate::proxy::worker::Worker;
use crate::semantics::cache_status::{CacheResult, CacheStatus, ForwardReason};
use crate::semantics::reasons::{Kind, Reason, ReasonNumber};
use crate::telemetry::latest::{Latest, Outcome};
use crate::telemetry::top::SAMPLED;

impl Worker {
    /// Remembers what became of this response. The end of one that is still coming may be known before its head is noted here,
    /// and is kept then.
    pub(super) fn note(&self, response: &Response<Body>, request: &Request, status: &CacheStatus) {
        self.sample_request(response, request);
        let hash = request.key(&self.gateway.store).hash();
        let is_missed = matches!(status.result(), Some(CacheResult::Miss | CacheResult::Pass));
        if is_missed {
            let why = reason(status).or(status.forward.and_then(number_of));
            let misses = &self.counters.top.misses;
            misses.add(hash, 1, why, || request.shown_key());
        }
        // A HEAD says nothing of the GETs with the same key, and who follows a fill nothing that its leader does not.
        if request.class != Class::Get || status.collapsed == Some(true) {
            return;
        }
        let reported = response.extensions().get::<Reported>();
        let noted = Latest {
            outcome: outcome(status, reported.is_some()),
            forward: status.forward.and_then(number_of),
            reason: reason(status),
            error: reported.map(|reported| reported.kind),
            status: response.status().as_u16(),
            when: request.now.mono,
            count: 1,
        };
        let latest = &self.counters.latest;
        latest.note_origin(request.target.origin());
        let is_open = noted.outcome == Outcome::NotStored && noted.reason.is_none();
        let known = latest.find(hash).filter(|known| {
            let is_told = known.outcome == Outcome::Stored || known.reason.is_some();
            let is_now = known.when.as_millis() / 1000 >= noted.when.as_millis() / 1000;
            // A head says `stored` before its content is here, which may have broken off since.
            let has_failed = || {
                let store = &self.gateway.store;
                let resource = store.look_up(request.key(store));
                resource.is_none_or(|resource| resource.variants().is_empty())
            };
            let is_ended = noted.outcome == Outcome::Stored
                && known.outcome == Outcome::NotStored
                && has_failed();
            is_told && is_now && (is_open || is_ended)
        });
        latest.note(
            hash,
            match known {
                Some(known) => Latest { count: 1, ..known },
                None => noted,
            },
        );
    }

    /// Counts one of about [`SAMPLED`] requests in the sketches of URLs, for as many.
    pub(super) fn sample_request(&self, response: &Response<Body>, request: &Request) {
        let left = self.unsampled.get();
        self.unsampled.set(left.wrapping_sub(1));
        if left == 0 {
            self.sample(response, request);
        }
    }

    #[inline(never)]
    fn sample(&self, response: &Response<Body>, request: &Request) {
        let key = request.key(&self.gateway.store);
        // Not each time after as many hits: a client that asks for some URLs in turn would have one of them counted alone.
        let turn = self.counters.hits.value() ^ key.hash();
        self.unsampled.set(turn as u32 % (2 * SAMPLED - 1));
        let (top, weight) = (&self.counters.top, u64::from(SAMPLED));
        let shown = || request.shown_key();
        top.requests.add(key.hash(), weight, None, shown);
        let length = response.body().size_hint().exact().unwrap_or_default();
        if length > 0 {
            let bytes = length.saturating_mul(weight);
            top.bytes.add(key.hash(), bytes, None, shown);
        }
    }

    /// Remembers how a fill has ended whose head was noted before: stored, or not for the reason with this token.
    pub(in crate::proxy) fn note_end(&self, hash: u64, status: StatusCode, why: Option<&str>) {
        let latest = &self.counters.latest;
        let before = latest.find(hash);
        let reason = why.and_then(|token| Reason::find(Kind::NotStored, token)?.number());
        latest.note(
            hash,
            Latest {
                outcome: match why {
                    None => Outcome::Stored,
                    Some(_) => Outcome::NotStored,
                },
                forward: before.and_then(|before| before.forward),
                reason,
                error: None,
                status: status.as_u16(),
                when: self.gateway.clock.now().mono,
                count: u32::from(before.is_none()),
            },
        );
    }
}

fn number_of(forward: ForwardReason) -> Option<ReasonNumber> {
    Reason::find(Kind::Forward, forward.token())?.number()
}

fn reason(status: &CacheStatus) -> Option<ReasonNumber> {
    let told = status
        .detail
        .and_then(|detail| Reason::of_detail(detail.text()));
    let is_error = |status: StatusCode| status.is_server_error();
    let told = told.or_else(|| {
        let refused = status.forward == Some(ForwardReason::Stale)
            && status.ttl.is_none()
            && status.forward_status.is_some_and(is_error);
        refused.then(|| Reason::find(Kind::NotStored, "server-error"))?
    });
    told?.number()
}

fn outcome(status: &CacheStatus, is_error: bool) -> Outcome {
    match status {
        _ if is_error => Outcome::Failed,
        CacheStatus { ttl: Some(_), .. } => Outcome::Stale,
        CacheStatus { forward: None, .. } => Outcome::Own,
        CacheStatus {
            stored: true,
            forward_status: Some(StatusCode::NOT_MODIFIED),
            ..
        } => Outcome::Validated,
        CacheStatus { stored: true, .. } => Outcome::Stored,
        _ => Outcome::NotStored,
    }
}
