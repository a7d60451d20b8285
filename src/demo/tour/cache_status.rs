//! Reads the member of a `Cache-Status` field (RFC 9211) that the gateway has added.

use http::HeaderMap;
use sfv::{BareItem, List, ListEntry, Parameters, Parser};

/// The last member of the field: the cache nearest to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheStatus {
    pub(super) hit: bool,
    /// Why the request went upstream.
    pub(super) fwd: Option<String>,
    pub(super) fwd_status: Option<i64>,
    /// Seconds that the response stays fresh; negative when it is stale.
    pub(super) ttl: Option<i64>,
    pub(super) stored: bool,
    pub(super) collapsed: bool,
}

impl CacheStatus {
    /// `None` when the field is missing, empty or no structured list.
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        let lines: Option<Vec<_>> = fields
            .get_all("cache-status")
            .iter()
            .map(|line| line.to_str().ok())
            .collect();
        let list: List = Parser::new(&lines?.join(", ")).parse().ok()?;
        Some(match list.last()? {
            ListEntry::Item(cache) => Self::read(&cache.params),
            ListEntry::InnerList(cache) => Self::read(&cache.params),
        })
    }

    fn read(parameters: &Parameters) -> Self {
        let number = |name| match parameters.get(name) {
            Some(BareItem::Integer(number)) => Some(i64::from(*number)),
            _ => None,
        };
        let flag = |name| matches!(parameters.get(name), Some(BareItem::Boolean(true)));
        Self {
            hit: flag("hit"),
            fwd: match parameters.get("fwd") {
                Some(BareItem::Token(reason)) => Some(reason.as_str().to_owned()),
                _ => None,
            },
            fwd_status: number("fwd-status"),
            ttl: number("ttl"),
            stored: flag("stored"),
            collapsed: flag("collapsed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(lines: &[&'static str]) -> Option<CacheStatus> {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append("cache-status", http::HeaderValue::from_static(line));
        }
        CacheStatus::of(&fields)
    }

    #[test]
    fn the_cache_nearest_to_the_client_is_read() {
        let hit = CacheStatus {
            hit: true,
            ttl: Some(58),
            ..CacheStatus::default()
        };
        let miss = CacheStatus {
            fwd: Some("uri-miss".to_owned()),
            fwd_status: Some(200),
            stored: true,
            ..CacheStatus::default()
        };
        let table: [(&[&'static str], _); 6] = [
            (&["bookend; hit; ttl=58"], Some(hit.clone())),
            (
                &["inner; fwd=uri-miss, bookend; hit; ttl=58"],
                Some(hit.clone()),
            ),
            (
                &["inner; fwd=stale", "\"book end\"; hit; ttl=58"],
                Some(hit),
            ),
            (
                &["bookend; fwd=uri-miss; fwd-status=200; stored"],
                Some(miss),
            ),
            (&[], None),
            (&["b; ;"], None),
        ];
        for (lines, expected) in table {
            assert_eq!(member(lines), expected, "{lines:?}");
        }
    }
}
