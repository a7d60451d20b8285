//! The effect of a response that may not be stored on the stored responses for its request, and on later ones.

use http::StatusCode;

use super::storability::NoStoreReason;

/// The effect of such a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is about one request, one client or a failing server.
    None,
    /// Stale stored responses are validated before they are used again; fresh ones stay as they are.
    EndStaleness,
    /// The resource has a new representation: stored responses are outdated, and the next response will hardly be storable.
    Supersede,
}

impl Effect {
    /// The effect of a response with this status that was refused for `reason`; `credentialed`: its request carried
    /// credentials.
    pub fn of_refused(reason: NoStoreReason, status: StatusCode, credentialed: bool) -> Self {
        if credentialed || !reason.is_in_response() {
            return Self::None;
        }
        Self::of(status)
    }

    /// The effect of a response with this status that was refused because of the response itself.
    pub fn of(status: StatusCode) -> Self {
        if is_about_the_request(status) {
            return Self::None;
        }
        match status.as_u16() {
            // RFC 9111 §4.3.3: a full response shows that the stored ones are not suitable any more.
            200..=299 => Self::Supersede,
            // The resource is elsewhere, gone or closed to the public. A fresh response may be used all the same (RFC 9111
            // §4.2), a stale one not in the place of this one (RFC 5861 §4: only of a server's errors).
            300..=499 => Self::EndStaleness,
            // RFC 9111 §4.3.3: as if the server had not answered.
            _ => Self::None,
        }
    }
}

/// Whether the status is about this one request (its fields, its size, the number of those before it) rather than about the
/// resource, so that another request for the same resource may well get another response.
pub fn is_about_the_request(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        400 | 402 | 406..=409 | 411..=418 | 421..=426 | 428 | 429 | 431
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_representation_supersedes_what_is_fresh() {
        use Effect::{EndStaleness, None, Supersede};
        for (statuses, expected) in [
            (&[200, 201, 203, 204, 206, 226, 299][..], Supersede),
            (&[300, 301, 302, 303, 307, 308, 399], EndStaleness),
            (&[401, 403, 404, 405, 410, 451, 499], EndStaleness),
            (&[400, 402, 406, 407, 408, 409, 411, 412, 413, 414], None),
            (&[415, 416, 417, 418, 421, 422, 423, 424, 425, 426], None),
            (&[428, 429, 431], None),
            (&[500, 501, 502, 503, 504, 505, 507, 508, 511, 599], None),
        ] {
            for status in statuses {
                let found = Effect::of(StatusCode::from_u16(*status).unwrap());
                assert_eq!(found, expected, "{status}");
            }
        }
    }

    #[test]
    fn what_one_client_asked_for_or_may_see_says_nothing_to_others() {
        let ok = StatusCode::OK;
        for (reason, credentialed, expected) in [
            (NoStoreReason::NoStore, false, Effect::Supersede),
            (NoStoreReason::Private, false, Effect::Supersede),
            (NoStoreReason::SetCookie, false, Effect::Supersede),
            (NoStoreReason::NoStore, true, Effect::None),
            (NoStoreReason::Private, true, Effect::None),
            (NoStoreReason::SetCookie, true, Effect::None),
            (NoStoreReason::VaryAny, true, Effect::None),
            (NoStoreReason::RequestNoStore, false, Effect::None),
            (NoStoreReason::Credentials, true, Effect::None),
            (NoStoreReason::Precondition, false, Effect::None),
        ] {
            let found = Effect::of_refused(reason, ok, credentialed);
            assert_eq!(found, expected, "{reason} {credentialed}");
        }
    }
}
