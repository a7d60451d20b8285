//! Fills that refresh a stale response behind a client's back (RFC 5861 §3).

use std::sync::Arc;

use super::FillTask;
use crate::cache::stored::StoredResponse;
use crate::telemetry::traces::OpenSpan;

impl FillTask {
    /// Has it refresh `stale`. Whatever comes has one of three ends: it replaces `stale`, it freshens it, or `stale` is
    /// not served without validation any more.
    ///
    /// `span` is that of the refresh, where it is recorded.
    pub fn refreshing(
        mut self: Box<Self>,
        stale: &Arc<StoredResponse>,
        span: Option<OpenSpan>,
    ) -> Box<Self> {
        self.span = span;
        if !stale.head.origin_validators().is_empty() {
            self.candidates = vec![stale.clone()];
        }
        self.refreshes = Some(stale.clone());
        // It waits for nobody.
        self.waiting = None;
        self
    }

    /// What was not replaced nor freshened by a refresh leaves: the API has answered, and something else.
    pub(super) fn end_refresh(&mut self) {
        let Some(stale) = self.refreshes.take().filter(|_| !self.failed) else {
            return;
        };
        let store = &self.worker.gateway.store;
        let (head, content) = (stale.head.to_be_validated(), stale.content());
        let token = store.token(StoredResponse::cost(&head, &content));
        let new = Arc::new(StoredResponse::new(head, content, token));
        // Only if it still stands.
        store.update(self.fill.key.as_ref(), &[(stale, new)]);
    }

    /// The API gave no answer, or one that says nothing about the representation. To be told before the fill ends: a
    /// refresh is not tried again at once.
    pub(super) fn has_failed(&mut self) {
        self.failed = true;
        if let Some(stale) = &self.refreshes {
            stale.refreshes.failed(self.worker.gateway.clock.now().mono);
        }
    }
}
