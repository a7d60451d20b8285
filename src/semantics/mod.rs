//! The rules of HTTP caching as pure functions: RFC 9110, 9111, 5861, 8246, 9211, 9213, 9875 and their family.
//! No I/O, no clock, no async: each rule decides from the messages, the policy and a `now` that the caller has read.

pub mod access;
pub mod authority;
pub mod cache_control;
pub mod cache_status;
pub mod calendar;
pub mod content_range;
pub mod cors;
pub mod etag;
pub mod fetch;
pub mod field_line;
pub mod forwarded;
pub mod freshness;
pub mod groups;
pub mod hop_by_hop;
mod http_date;
pub mod invalidation;
#[cfg(test)]
mod known_faults;
pub(crate) mod list;
pub mod media_type;
pub mod method;
pub mod multipart;
pub mod no_vary_search;
pub mod octet_search;
pub mod partial;
pub mod path_form;
pub mod percent;
pub mod policy;
pub mod post;
pub mod preconditions;
pub mod query;
pub mod query_rule;
pub mod range;
pub mod rate_limit;
pub mod reference;
pub mod reuse;
pub mod rewrite;
pub mod selector;
pub mod storability;
pub mod structured;
pub mod target;
pub mod time;
pub mod unstored;
pub mod upgrade;
pub mod validation;
pub mod vary;
