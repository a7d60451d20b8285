//! The parts of a target URI in normal form, `scheme://authority/path?query`.

/// The part before the query, and the query without its question mark; `None` without one.
pub fn split_query(target: &str) -> (&str, Option<&str>) {
    // To see that there is none costs less than to search for its place.
    match target.as_bytes().contains(&b'?') {
        true => target
            .split_once('?')
            .map_or((target, None), |(before, query)| (before, Some(query))),
        false => (target, None),
    }
}

/// `scheme://authority` of a target URI.
pub fn origin_of(target: &str) -> &str {
    &target[..end_of_origin(target)]
}

/// Path and query of a target URI, or of one without its origin; `/` where it has none.
pub fn path_and_query(target: &str) -> &str {
    match &target[end_of_origin(target)..] {
        "" => "/",
        rest => rest,
    }
}

fn end_of_origin(target: &str) -> usize {
    let authority = target.find("://").map_or(0, |at| at + "://".len());
    let path = target[authority..].find('/');
    path.map_or(target.len(), |path| authority + path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_origin_a_path_and_a_query() {
        for (target, origin, path) in [
            ("http://a/books", "http://a", "/books"),
            ("https://a:8443/", "https://a:8443", "/"),
            ("http://a/http://b/", "http://a", "/http://b/"),
            ("http://a/b//c?d=http://e/", "http://a", "/b//c?d=http://e/"),
            ("http://a", "http://a", "/"),
            ("/books?x", "", "/books?x"),
        ] {
            assert_eq!(origin_of(target), origin, "{target}");
            assert_eq!(path_and_query(target), path, "{target}");
        }
    }

    #[test]
    fn the_first_question_mark_begins_the_query() {
        for (target, expected) in [
            ("/a", ("/a", None)),
            ("/a?", ("/a", Some(""))),
            ("/a?b?c", ("/a", Some("b?c"))),
            ("?b", ("", Some("b"))),
        ] {
            assert_eq!(split_query(target), expected, "{target}");
        }
    }
}
