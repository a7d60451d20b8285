//! The tags that a response has in the store.

use http::HeaderMap;

use crate::config::RoutePolicy;
use crate::semantics::groups;
use crate::semantics::storability::NoStoreReason;
use crate::semantics::tags;
use crate::semantics::target::split_query;

/// All tags of a response to a request for this path that took `route`, sorted, each once: its cache groups, those of the fields
/// that the route names, whose lines are `lines`, and the route's own.
///
/// # Errors
/// When they cannot all be kept, so that the response must not be stored.
pub fn tags_of(
    route: &RoutePolicy,
    path_and_query: &str,
    fields: &HeaderMap,
    lines: &HeaderMap,
) -> Result<Box<[Box<str>]>, NoStoreReason> {
    let mut all = groups::memberships(fields);
    // Of a name that the route reads no more, nothing is left.
    let named = tags::named(lines, &route.cache.tag_fields).map_err(|_| NoStoreReason::Tags)?;
    let (path, _) = split_query(path_and_query);
    let own = route.tags.iter();
    let own = own.filter_map(|tag| tag.for_request(&route.pattern, path));
    let before = all.len();
    all.extend(named);
    all.extend(own.map(Into::into));
    if all.len() > before {
        all.sort_unstable();
        all.dedup();
    }
    Ok(all.into())
}
