//! The parameters of `/stored` and `/top`.

use bytes::Bytes;
use http::Request;

use super::purge::from_query;
use crate::proxy::{Listing, MAX_LISTED, Order, Top};
use crate::semantics::selector::Selector;

const STORED_USAGE: &str = "GET /stored lists what is stored; narrow it with ?prefix=/books, route=/books/{id} or tag=NAME, put it in order \
     with sort=hits, size or age, and take limit=100 at once; page=N is `next` of the page before";

const TOP_USAGE: &str =
    "GET /top?by=requests, misses or bytes lists the most frequent URLs; limit=20 of them";

const ORDERS: [(&str, Order); 3] = [
    ("hits", Order::Hits),
    ("size", Order::Size),
    ("age", Order::Age),
];

const TOPS: [(&str, Top); 3] = [
    ("requests", Top::Requests),
    ("misses", Top::Misses),
    ("bytes", Top::Bytes),
];

/// Which stored resources are asked for.
///
/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn listing(request: &Request<Bytes>) -> Result<Listing, String> {
    let known = ["prefix", "route", "tag", "sort", "limit", "page"];
    let mut listing = Listing {
        limit: 100,
        ..Listing::default()
    };
    let mut seen: Vec<String> = Vec::new();
    for (what, value) in from_query(request, &known, STORED_USAGE)? {
        if seen.contains(&what) {
            return Err(format!("`{what}` is given more than once; {STORED_USAGE}"));
        }
        match what.as_str() {
            "prefix" => {
                let prefix = Selector::prefix(&value);
                listing.prefix = Some(prefix.map_err(|fault| format!("prefix={value} {fault}"))?);
            }
            "route" => listing.route = Some(value),
            "tag" => listing.tag = Some(value),
            "sort" => listing.order = Some(one_of(&ORDERS, &what, &value, STORED_USAGE)?),
            "limit" => listing.limit = limit(&value, STORED_USAGE)?,
            _ => {
                listing.from = value
                    .parse()
                    .map_err(|_| format!("page={value} is not `next` of a page; {STORED_USAGE}"))?;
            }
        }
        seen.push(what);
    }
    Ok(listing)
}

/// By what the most frequent URLs are counted, and how many are asked for.
///
/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn top(request: &Request<Bytes>) -> Result<(Top, usize), String> {
    let (mut by, mut most) = (Top::Requests, 20);
    for (what, value) in from_query(request, &["by", "limit"], TOP_USAGE)? {
        match what.as_str() {
            "by" => by = one_of(&TOPS, &what, &value, TOP_USAGE)?,
            _ => most = limit(&value, TOP_USAGE)?,
        }
    }
    Ok((by, most))
}

fn one_of<T: Copy>(known: &[(&str, T)], what: &str, value: &str, usage: &str) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == value);
    let found = found.map(|(_, order)| *order);
    found.ok_or_else(|| format!("{what}={value} is not known; {usage}"))
}

fn limit(value: &str, usage: &str) -> Result<usize, String> {
    let limit = value.parse().ok();
    limit
        .filter(|limit| (1..=MAX_LISTED).contains(limit))
        .ok_or_else(|| format!("limit={value} is not a number from 1 to {MAX_LISTED}; {usage}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str) -> Request<Bytes> {
        let request = Request::builder().uri(path);
        request.body(Bytes::new()).expect("a request")
    }

    #[test]
    fn parameters_are_read_as_a_whole() {
        let read = listing(&asked(
            "/stored?prefix=/books&route=/books/%7Bid%7D&tag=a+b&sort=size&limit=7&page=200",
        ));
        let read = read.expect("well-formed");
        assert_eq!(read.route.as_deref(), Some("/books/{id}"));
        assert_eq!(read.tag.as_deref(), Some("a b"));
        assert_eq!(
            (read.order, read.limit, read.from),
            (Some(Order::Size), 7, 200)
        );
        assert!(
            read.prefix
                .is_some_and(|prefix| prefix.covers("http://h/books/1"))
        );
        for (query, words) in [
            ("prefix=books", "prefix=books"),
            ("sort=name", "sort=name is not known"),
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("page=x", "page=x"),
            ("tag=a&tag=b", "more than once"),
            ("url=/a", "unknown parameter `url`"),
        ] {
            let fault = listing(&asked(&format!("/stored?{query}"))).expect_err(query);
            assert!(fault.contains(words), "{query}: {fault}");
        }
        let by = |query: &str| top(&asked(&format!("/top?{query}")));
        assert_eq!(by("by=bytes&limit=3"), Ok((Top::Bytes, 3)));
        assert_eq!(by(""), Ok((Top::Requests, 20)));
        assert!(by("by=hits").is_err_and(|fault| fault.contains("by=hits")));
    }
}
