//! A response that may be stored: judged, and kept at once, while it comes, or as a part of a whole.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, ETAG, HeaderValue, ORIGIN};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;

use super::early::{Early, collect, take_early};
use super::pump::Pump;
use super::{FillTask, LeaderEvent, NotShared, Permit};
use crate::cache::body::{SEGMENT, SharedBody, StoredBody};
use crate::cache::budget::Token;
use crate::cache::collapse::Fill;
use crate::cache::content::{Content, combine};
use crate::cache::head::{Draft, Head};
use crate::cache::outcome::{NotCommitted, Outcome};
use crate::cache::resource::{Resource, Unshared};
use crate::cache::stored::StoredResponse;
use crate::config::EtagMode;
use crate::error::{Error, ErrorKind};
use crate::proxy::fill::update::withheld;
use crate::proxy::forward::arrived::Arrived;
use crate::proxy::response::etag;
use crate::proxy::tagged::tags_of;
use crate::proxy::task::pinned;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::cors;
use crate::semantics::fetch::FetchExtent;
use crate::semantics::freshness::{Freshness, take_age};
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::partial::{Partial, combined_fields, fields_of_whole};
use crate::semantics::range::{self, ByteRange};
use crate::semantics::reuse::Failure;
use crate::semantics::storability::{
    Keep, NoStoreReason, Scope, Storability, assess, stored_fields,
};
use crate::semantics::tags;
use crate::semantics::validation::Validators;
use crate::semantics::vary::{VariantKey, Vary};
use crate::upstream::{Framing, UpstreamBody};

impl FillTask {
    /// Whether the response may be stored, and so shared.
    pub(super) fn assess(
        &self,
        arrived: &Arrived,
    ) -> Result<(Keep, ResponseDirectives, Freshness), NotShared> {
        let Arrived {
            status,
            headers,
            body,
            ..
        } = arrived;
        // Whether or not it had a validator to ask with: something stale may stand in.
        if self.selected.is_some() && Failure::Status(*status).is_error() {
            return Err(NotShared::ServerError);
        }
        let directives = ResponseDirectives::parse(headers, &self.route.cache.targeted_fields);
        let freshness = self.compute(*status, headers, &directives, arrived.receipt());
        let freshness = arrived.believed(freshness);
        let keep = match assess(&self.store_input(*status, headers, &directives, &freshness)) {
            Storability::Store(keep) => keep,
            Storability::Refuse(why) => return Err(NotShared::Cause(Unshared::Rule(why))),
        };
        // A response is stored with all of its tags or not at all: a purge by a tag that was left out would miss it.
        if let Err(why) = self.tags(headers, &arrived.tags) {
            return Err(NotShared::Cause(Unshared::Rule(why)));
        }
        if body.size_hint().lower() > self.route.max_stored_body {
            return Err(NotShared::Cause(Unshared::TooLarge));
        }
        if self.is_too_large_as_marked(arrived) {
            return Err(NotShared::Cause(Unshared::TooLarge));
        }
        if body.framing() == Framing::Close && !self.route.store_close_delimited {
            return Err(NotShared::Cause(Unshared::UnverifiedEnd));
        }
        Ok((keep, directives, freshness))
    }

    /// Whether it is not known how large it is, and what came before was too large.
    pub(super) fn is_too_large_as_marked(&self, arrived: &Arrived) -> bool {
        let unknown = arrived.body.size_hint().exact().is_none();
        unknown && self.marked == Some(Unshared::TooLarge)
    }

    /// Stores what arrived, at once or while it comes.
    pub(super) async fn keep(
        &mut self,
        permit: Permit,
        mut arrived: Box<Arrived>,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) {
        if keep.scope == Scope::Partial {
            return Box::pin(self.keep_part(permit, arrived, keep, directives, freshness)).await;
        }
        let head = self.head(&arrived, keep, directives, freshness);
        self.own = withheld(&arrived.headers, &head.headers);
        let head = head.packed();
        let length = arrived.body.size_hint().exact();
        let awaited = head.status == StatusCode::OK
            && etag::wanted(self.route.etag, &arrived.headers)
            && length.is_some_and(|length| length <= SEGMENT as u64);
        let mut early = take_early(&mut arrived.body, awaited).await;
        if awaited && let Some(error) = early.failure.take() {
            return self.failed(permit, error);
        }
        // Trailers are for those who were there: they are not stored.
        let is_small = early.length() <= self.route.max_stored_body;
        if is_small && early.ended && self.has_ended(&arrived.body) && early.trailers.is_none() {
            // The whole body came with the head.
            let store = &self.worker.gateway.store;
            let token = store
                .token(early.length())
                .unwrap_or_else(|| Token::empty(store.budget()));
            let body = StoredBody::new(&early.pieces, token);
            return self.store(permit, head, Content::Complete(body));
        }
        pinned(|| self.stream(permit, head, arrived.body, early)).await;
    }

    /// Whether `body` has come to an end that a response may be stored by: one that it states itself, or where the operator
    /// says so, that of its connection.
    pub(super) fn has_ended(&self, body: &UpstreamBody) -> bool {
        body.end_verified() || self.route.store_close_delimited && body.has_ended()
    }

    /// Stores a part, with those that are there already.
    async fn keep_part(
        &mut self,
        permit: Permit,
        mut arrived: Box<Arrived>,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) {
        let part = Partial::of_206(&arrived.headers);
        let range = part.as_ref().and_then(|part| part.ranges().first());
        let stored = self.combinable(&arrived.headers);
        let before = stored.as_ref().and_then(|stored| stored.parts());
        let is_answer = |part: &Partial, range: ByteRange| {
            let before = before.map_or(part, |before| &before.ranges);
            let is_asked = self.has_range() || self.extent != FetchExtent::Whole;
            is_asked && self.is_answered_by(range, before, &arrived.headers)
        };
        let (part, range) = match (&part, range) {
            (Some(part), Some(range)) if is_answer(part, *range) => (part, *range),
            _ => {
                let why = NoStoreReason::PartialUnit;
                return self.hand_over(permit, arrived, NotShared::Cause(Unshared::Rule(why)));
            }
        };
        let octets = match before {
            Some(parts) => parts.ranges.octets_with(range),
            None => range.len(),
        };
        if octets > self.route.max_stored_body {
            return self.hand_over(permit, arrived, NotShared::Cause(Unshared::TooLarge));
        }
        let content = match collect(&mut arrived.body, range.len()).await {
            Ok(Some(content)) => content,
            // Its Content-Range is wrong, and nothing is combined with it (RFC 9110 §14.4). To who asked for that range it
            // is the API's answer; it does not stand for what is missing.
            Ok(None) if matches!(self.extent, FetchExtent::Missing(_)) => {
                return Box::pin(self.fetch_anew(permit)).await;
            }
            Ok(None) => {
                let why = NoStoreReason::PartialUnit;
                return self.hand_over(permit, arrived, NotShared::Cause(Unshared::Rule(why)));
            }
            Err(error) => return self.failed(permit, error),
        };
        arrived.headers = match &stored {
            Some(stored) => combined_fields(&stored.head.fields.to_map(), &arrived.headers),
            None => fields_of_whole(&arrived.headers, part.complete_length()),
        };
        arrived.status = StatusCode::OK;
        if let Some(stored) = &stored {
            arrived.tags = tags::updated(&stored.head.tags(), &arrived.tags);
        }
        if let Err(why) = self.tags(&arrived.headers, &arrived.tags) {
            return self.hand_over(permit, arrived, NotShared::Cause(Unshared::Rule(why)));
        }
        let mut head = self.head(&arrived, keep, directives, freshness);
        head.content_length = Some(part.complete_length());
        let store = &self.worker.gateway.store;
        let token = store
            .token(octets)
            .unwrap_or_else(|| Token::empty(store.budget()));
        match combine(before, part.complete_length(), range, &content, token) {
            Some(content) => self.store(permit, head.packed(), content),
            None => self.failed(permit, Error::upstream(ErrorKind::ResponseIncomplete)),
        }
    }

    /// Whether a part, with what is stored of the same representation, answers the client. What does not is the API's answer
    /// all the same, and passed on.
    pub(super) fn is_answered_by(
        &self,
        part: ByteRange,
        stored: &Partial,
        fields: &HeaderMap,
    ) -> bool {
        let mut parts = stored.clone();
        let selection = range::select(
            self.request.method(),
            &self.fill.ask.headers,
            StatusCode::OK,
            &Validators::of(fields),
            parts.complete_length(),
        );
        parts.insert(part) && parts.answers(&selection)
    }

    /// The incomplete response that a part with these fields can be combined with.
    fn combinable(&self, part: &HeaderMap) -> Option<Arc<StoredResponse>> {
        let store = &self.worker.gateway.store;
        let Fill { key, ask, .. } = &*self.fill;
        let resource = store.look_up(key.as_ref())?;
        let vary = &self.route.cache.vary;
        let asked = (&ask.headers, ask.digest.as_ref());
        let stored = resource.variants().iter().find(|stored| {
            store
                .cors()
                .selects(key.as_str(), &stored.head, asked, vary)
        })?;
        let validators = &stored.head.origin_validators();
        stored
            .parts()?
            .ranges
            .combines_with(validators, StatusCode::PARTIAL_CONTENT, part)?;
        Some(stored.clone())
    }

    fn head(
        &self,
        arrived: &Arrived,
        keep: Keep,
        directives: &ResponseDirectives,
        freshness: Freshness,
    ) -> Draft {
        let mut headers = stored_fields(&arrived.headers, directives, keep);
        let age = take_age(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let origin_validators = Validators::of(&arrived.headers);
        if self.route.etag == EtagMode::Replace {
            headers.remove(ETAG);
        }
        Draft {
            status: arrived.status,
            reason: arrived
                .reason
                .as_ref()
                .map(|reason| reason.as_bytes().into()),
            origin_validators: self.usable_upstream(origin_validators),
            freshness,
            received: arrived.received.mono,
            variant: self.variant(&arrived.headers),
            digest: self.fill.ask.digest,
            // They were counted when it was judged.
            groups: self
                .tags(&arrived.headers, &arrived.tags)
                .unwrap_or_default(),
            tags: arrived.tags.clone(),
            search: SearchVariance::parse(&arrived.headers).map(Box::new),
            content_length: arrived.body.size_hint().exact(),
            age,
            receipt: arrived.receipt(),
            credentialed: self.credentials.any(),
            epoch: self.epoch.settings.version,
            stamp: self.fill.stamp,
            headers,
        }
    }

    /// All tags of a response to this fill's request with these fields.
    pub(super) fn tags(
        &self,
        fields: &HeaderMap,
        lines: &HeaderMap,
    ) -> Result<Box<[Box<str>]>, NoStoreReason> {
        tags_of(&self.route, self.target.path_and_query(), fields, lines)
    }

    /// Where the route replaces the origin's tags, they are not trusted to validate with either.
    pub(super) fn usable_upstream(&self, mut validators: Validators) -> Validators {
        if self.route.etag == EtagMode::Replace {
            validators.etag = None;
        }
        validators
    }

    /// What a response to this fill's request is selected by: what its Vary nominates, and what the URL was seen to vary on
    /// before, while anything of that is stored.
    pub(super) fn variant(&self, response: &HeaderMap) -> VariantKey {
        let vary = &self.route.cache.vary;
        let asked = &self.fill.ask.headers;
        let mut variant = VariantKey::of(&Vary::parse(response), asked, vary);
        let store = &self.worker.gateway.store;
        let resource = store.look_up(self.fill.key.as_ref());
        let known = resource.iter().flat_map(Resource::variants);
        let known = known.filter_map(|stored| stored.head.variant());
        if !variant.is_any() {
            let names = known.clone().flat_map(VariantKey::names);
            variant = variant.also_by(names, asked, vary);
        }
        if cors::allows_all(response) {
            return variant;
        }
        let origin = asked.get(ORIGIN).map(HeaderValue::as_bytes);
        // Without CORS, who sends no Origin leaves what is known of those who do.
        let before = known
            .filter(|_| !store.cors().has(self.fill.key.as_str()))
            .filter(|known| known.matches(asked, vary));
        let origin = origin.or_else(|| before.filter_map(VariantKey::origin).next());
        variant.fetched_with(origin)
    }

    /// Stores a response that is all here, and tells everybody.
    fn store(&mut self, permit: Permit, head: Head, content: Content) {
        let (stored, refused) = self.commit(permit, head, content);
        let own = std::mem::take(&mut self.own);
        self.tell_leader(LeaderEvent::Fetched {
            stored,
            refused,
            own,
        });
    }

    /// Ends the fill with this response. Returns it, and why it was not stored where it was not.
    pub(super) fn commit(
        &self,
        permit: Permit,
        mut head: Head,
        content: Content,
    ) -> (Arc<StoredResponse>, Option<NotCommitted>) {
        let store = &self.worker.gateway.store;
        if head.status == StatusCode::OK
            && self.route.etag != EtagMode::Off
            && let Content::Complete(body) = &content
        {
            let fields = head.fields.to_map();
            if etag::wanted(self.route.etag, &fields)
                && let Some(tag) = etag::of(&fields, body.pieces())
            {
                head = head.with_etag(tag);
            }
        }
        let token = store.token(StoredResponse::cost(&head, &content));
        let stored = Arc::new(StoredResponse::new(head, content, token));
        let outcome = Outcome::Stored(stored.clone());
        let refused = permit.finish(outcome, &self.route);
        if refused.is_none() {
            self.worker.counters.stored.inc();
        }
        (stored, refused)
    }

    /// The body is still coming: every reader gets it as it comes.
    async fn stream(&mut self, permit: Permit, head: Head, body: UpstreamBody, early: Early) {
        let head = Arc::new(head);
        let (shared, writer) = SharedBody::new(self.worker.gateway.store.budget());
        let reader = shared.reader();
        self.fill.stream(head.clone(), shared);
        let mut pump = Pump::new(self, permit, head.clone(), writer, early.trailers);
        for piece in &early.pieces {
            pump.push(piece);
        }
        if let Some(reader) = reader {
            let head = head.clone();
            let own = std::mem::take(&mut pump.task.own);
            pump.task
                .tell_leader(LeaderEvent::Streaming { head, reader, own });
        }
        match early.failure {
            Some(error) => pump.fail(error),
            None => pump.run(body).await,
        }
    }
}
