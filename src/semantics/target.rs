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

/// The key of what is stored for a target URI by `values`, too: these follow a `#`, which no target has. A query goes before
/// it, so that the path ends where it does in the target; `?##` stands for a target without one.
pub fn key_with(target: &str, values: &str) -> String {
    match split_query(target) {
        (_, Some(_)) => format!("{target}#{values}"),
        (_, None) => format!("{target}?##{values}"),
    }
}

/// The target URI of a key, and the values that select beside it; `None` where there are none.
pub fn split_key(key: &str) -> (&str, Option<&str>) {
    let Some((target, values)) = key.split_once('#') else {
        return (key, None);
    };
    match (values.strip_prefix('#'), target.strip_suffix('?')) {
        (Some(values), Some(target)) => (target, Some(values)),
        _ => (target, Some(values)),
    }
}

/// The target URI of a key.
pub fn target_of(key: &str) -> &str {
    split_key(key).0
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
    fn a_key_is_a_target_and_what_else_selects() {
        for (target, values, key) in [
            ("http://a/b", "x=1", "http://a/b?##x=1"),
            ("http://a/b?", "x=1", "http://a/b?#x=1"),
            ("http://a/b?c", "x=1&y", "http://a/b?c#x=1&y"),
            ("http://a/b?c?", "~1", "http://a/b?c?#~1"),
            ("http://a/b", "", "http://a/b?##"),
        ] {
            assert_eq!(key_with(target, values), key);
            assert_eq!(split_key(key), (target, Some(values)), "{key}");
            assert_eq!(split_query(key).0, split_query(target).0, "{key}");
        }
        assert_eq!(split_key("http://a/b?c"), ("http://a/b?c", None));
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
