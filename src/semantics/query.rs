//! The QUERY method: the parts of a request that are in its key beside the target URI.

use http::{HeaderMap, HeaderName, Method, header};

/// Whether `method` is QUERY.
pub fn is_query(method: &Method) -> bool {
    method.as_str() == "QUERY"
}

/// The request fields that describe the content, and so the meaning of the query. Content-Length follows from the content
/// itself.
const DESCRIPTION: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
];

/// Feeds the fields that describe the request's content to a digest; the octets of the content are to follow. No two
/// requests that differ in either feed the same. The octets are not decoded: the draft lets a cache remove insignificant
/// differences, but then the key would need a parser of each format.
///
/// False, with nothing fed, when the content has no Content-Type: such a request is invalid, the origin refuses it, and its
/// response is not cached.
pub fn describe(request: &HeaderMap, mut feed: impl FnMut(&[u8])) -> bool {
    if !request.contains_key(header::CONTENT_TYPE) {
        return false;
    }
    for name in &DESCRIPTION {
        let lines = request.get_all(name);
        feed(&(lines.iter().count() as u64).to_be_bytes());
        for line in lines {
            feed(&(line.len() as u64).to_be_bytes());
            feed(line.as_bytes());
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn described(lines: &[(&'static str, &str)]) -> Option<Vec<u8>> {
        let mut request = HeaderMap::new();
        for (name, value) in lines {
            request.append(*name, value.parse().unwrap());
        }
        let mut fed = Vec::new();
        describe(&request, |octets| fed.extend_from_slice(octets)).then_some(fed)
    }

    #[test]
    fn only_what_describes_the_content_counts() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        let plain = described(&[JSON]);
        assert!(plain.is_some());
        assert_eq!(
            described(&[JSON, ("accept", "a/b"), ("content-length", "3")]),
            plain
        );
        for more in [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("content-language", "en"),
            ("content-location", "/x"),
            ("content-range", "bytes 0-1/2"),
        ] {
            assert_ne!(described(&[JSON, more]), plain, "{more:?}");
        }
        assert_ne!(described(&[("content-type", "application/sql")]), plain);
        assert_ne!(
            described(&[JSON, ("content-encoding", "x")]),
            described(&[JSON, ("content-language", "x")])
        );
    }

    #[test]
    fn a_query_without_content_type_is_not_cached() {
        assert_eq!(described(&[("content-encoding", "gzip")]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn different_descriptions_never_feed_the_same(
            a in ("[a-c]{0,2}", "[a-c]{0,2}"), b in ("[a-c]{0,2}", "[a-c]{0,2}"),
        ) {
            let feed = |(kind, coding): &(String, String)| {
                described(&[("content-type", kind), ("content-encoding", coding)])
            };
            prop_assert_eq!(a == b, feed(&a) == feed(&b));
        }
    }
}
