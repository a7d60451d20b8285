//! What the servers of one API say to their health checks, side by side.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use tokio::sync::Notify;

use crate::config::ServerUrl;

/// The health checks of one API's servers, shared by all workers.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Peers {
    /// Notified after each check of any of them.
    checked: Notify,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    latest: Vec<(ServerUrl, StatusCode)>,
    /// Whether it has been told that they differ.
    told: bool,
}

impl Peers {
    pub(in crate::upstream) fn checked(&self) -> &Notify {
        &self.checked
    }

    /// Notes what a server answered, and warns where another answers that it has no such path or does not let us in: then
    /// they are hardly the same API. Once, until all agree again. Errors of servers (5xx) say nothing of that.
    pub(super) fn note(&self, server: &ServerUrl, status: StatusCode) {
        let Some((other, its)) = self.differing(server, status) else {
            return;
        };
        tracing::warn!(
            %server,
            status = status.as_u16(),
            %other,
            others_status = its.as_u16(),
            "servers of one API answer their health checks differently: each must serve the same API"
        );
    }

    /// Another server whose latest answer differs, where that is not known yet.
    fn differing(&self, server: &ServerUrl, status: StatusCode) -> Option<(ServerUrl, StatusCode)> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.latest.retain(|(known, _)| known != server);
        let well = status.as_u16() < 400;
        let says_otherwise = |(_, its): &&(ServerUrl, StatusCode)| {
            let all_speak = !status.is_server_error() && !its.is_server_error();
            all_speak && (its.as_u16() < 400) != well
        };
        let other = answers.latest.iter().find(says_otherwise).cloned();
        answers.latest.push((server.clone(), status));
        let is_new = other.is_some() && !answers.told;
        let all_well = answers
            .latest
            .iter()
            .all(|(_, status)| status.as_u16() < 400);
        answers.told = other.is_some() || answers.told && !all_well;
        other.filter(|_| is_new)
    }

    /// The server is not checked any more.
    pub(super) fn forget(&self, server: &ServerUrl) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.latest.retain(|(known, _)| known != server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_differ_are_told_once_until_all_are_well() {
        let peers = Peers::default();
        let url = |name: &str| {
            format!("http://{name}")
                .parse::<ServerUrl>()
                .expect("a URL")
        };
        for (server, status, other) in [
            ("a", 200, None),
            ("b", 204, None),
            ("b", 503, None),
            ("b", 404, Some("a")),
            ("b", 404, None),
            ("a", 200, None),
            ("c", 401, None),
            ("c", 200, None),
            ("b", 500, None),
            ("b", 404, None),
            ("b", 200, None),
            ("b", 404, Some("a")),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let found = peers
                .differing(&url(server), status)
                .map(|(other, _)| other);
            assert_eq!(found, other.map(url), "{server} {status}");
        }
        peers.forget(&url("b"));
        assert_eq!(peers.differing(&url("a"), StatusCode::OK), None);
    }
}
