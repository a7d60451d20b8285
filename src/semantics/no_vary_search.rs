//! No-Vary-Search: which query parameters do not matter for the key.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, InnerList, ListEntry};

use super::groups;
use super::percent::digit;

const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");

/// A "URL variation config" other than the default one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchVariance {
    order_matters: bool,
    params: Params,
}

/// The parameters that matter, by their decoded names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Params {
    AllBut(Box<[Box<str>]>),
    Only(Box<[Box<str>]>),
}

impl SearchVariance {
    /// The response's config ("obtain a URL variation config"); `None` for the default: without the field, when it is
    /// invalid, and when it is the default.
    ///
    /// The draft's algorithm makes a field with neither `params` nor `except` the default; its introduction and its
    /// examples have `key-order` alone mean something, and so does this.
    pub fn parse(response: &HeaderMap) -> Option<Self> {
        let dictionary: Dictionary = groups::parse(response, &NO_VARY_SEARCH)?;
        let order_matters = match dictionary.get("key-order") {
            None => true,
            Some(ListEntry::Item(item)) => match item.bare_item {
                BareItem::Boolean(ignored) => !ignored,
                _ => return None,
            },
            Some(ListEntry::InnerList(_)) => return None,
        };
        let params = match (dictionary.get("params"), dictionary.get("except")) {
            (None, None) => Params::AllBut(Box::default()),
            (Some(ListEntry::InnerList(names)), None) => Params::AllBut(keys(names)?),
            (None, Some(ListEntry::InnerList(names))) => Params::Only(keys(names)?),
            _ => return None,
        };
        let is_default =
            order_matters && matches!(&params, Params::AllBut(names) if names.is_empty());
        (!is_default).then_some(Self {
            order_matters,
            params,
        })
    }

    /// The query without the parameters that do not matter, in one spelling: two queries are equivalent if and only if these
    /// are equal. A key needs something beside it that identifies this response's config.
    pub fn canonical_query(&self, query: Option<&str>) -> String {
        let mut pairs: Vec<_> = pairs(query.unwrap_or_default())
            .filter(|(name, _)| match &self.params {
                Params::AllBut(names) => !names.iter().any(|listed| **listed == **name),
                Params::Only(names) => names.iter().any(|listed| **listed == **name),
            })
            .collect();
        if !self.order_matters {
            // Stable: values of the same name keep their order.
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let mut canonical = String::new();
        for (name, value) in &pairs {
            if !canonical.is_empty() {
                canonical.push('&');
            }
            encode(name, &mut canonical);
            canonical.push('=');
            encode(value, &mut canonical);
        }
        canonical
    }

    /// Which parameters matter, in words.
    pub fn describe(&self) -> String {
        let (which, names) = match &self.params {
            Params::AllBut(names) if names.is_empty() => ("all parameters", &names[..]),
            Params::AllBut(names) => ("all parameters but ", &names[..]),
            Params::Only(names) if names.is_empty() => ("no parameter", &names[..]),
            Params::Only(names) => ("the parameters ", &names[..]),
        };
        let verb = if which == "no parameter" {
            "matters"
        } else {
            "matter"
        };
        let order = if self.order_matters {
            ""
        } else {
            ", in any order"
        };
        format!("{which}{} {verb}{order}", names.join(", "))
    }
}

/// The names in a list of Strings ("parse a key"), sorted, each once; `None` when there is anything else in it.
fn keys(list: &InnerList) -> Option<Box<[Box<str>]>> {
    let key = |item: &sfv::Item| match &item.bare_item {
        BareItem::String(name) => Some(decode(name.as_str()).into_owned().into()),
        _ => None,
    };
    let mut keys = list
        .items
        .iter()
        .map(key)
        .collect::<Option<Vec<Box<str>>>>()?;
    keys.sort_unstable();
    keys.dedup();
    Some(keys.into())
}

/// The application/x-www-form-urlencoded parser of the URL standard.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let sequences = query.split('&').filter(|sequence| !sequence.is_empty());
    sequences.map(|sequence| {
        let (name, value) = sequence.split_once('=').unwrap_or((sequence, ""));
        (decode(name), decode(value))
    })
}

/// Plus signs to spaces, percent-decoded, and octets that are not UTF-8 replaced by U+FFFD.
pub(super) fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [octet, after @ ..] = rest {
        let digits = match after {
            [high, low, ..] if *octet == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        decoded.push(match (octet, digits) {
            (_, Some((high, low))) => high << 4 | low,
            (b'+', None) => b' ',
            (octet, None) => *octet,
        });
        rest = if digits.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// Percent-encodes the separators of pairs, and the percent sign itself.
fn encode(text: &str, to: &mut String) {
    for character in text.chars() {
        match character {
            '%' => to.push_str("%25"),
            '&' => to.push_str("%26"),
            '=' => to.push_str("%3D"),
            '+' => to.push_str("%2B"),
            '#' => to.push_str("%23"),
            ' ' => to.push('+'),
            character => to.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(lines: &[&str]) -> Option<SearchVariance> {
        let mut response = HeaderMap::new();
        for line in lines {
            response.append(NO_VARY_SEARCH, line.parse().unwrap());
        }
        SearchVariance::parse(&response)
    }

    fn says(order_matters: bool, params: Params) -> Option<SearchVariance> {
        Some(SearchVariance {
            order_matters,
            params,
        })
    }

    fn names(names: &[&str]) -> Box<[Box<str>]> {
        names.iter().map(|name| Box::from(*name)).collect()
    }

    #[test]
    fn the_field_is_read_as_the_draft_shows() {
        let all_but = |list: &[&str]| Params::AllBut(names(list));
        let only = |list: &[&str]| Params::Only(names(list));
        let cases = [
            (r#"params=("a")"#, says(true, all_but(&["a"]))),
            (r#"params=("b" "a" "b")"#, says(true, all_but(&["a", "b"]))),
            (r#"except=("x")"#, says(true, only(&["x"]))),
            ("except=()", says(true, only(&[]))),
            ("params=()", None),
            ("key-order", says(false, all_but(&[]))),
            ("key-order=?1", says(false, all_but(&[]))),
            ("key-order=?0", None),
            (r#"except=("x"), key-order"#, says(false, only(&["x"]))),
            (r#"params=("a"), unknown=1"#, says(true, all_but(&["a"]))),
            (
                r#"params=("%C3%A9+%E6%B0%97")"#,
                says(true, all_but(&["é 気"])),
            ),
            (r#"params=("a";x);y"#, says(true, all_but(&["a"]))),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(&[line]), expected, "{line}");
        }
        assert_eq!(parse(&[]), None);
        let two_lines = parse(&["key-order", r#"params=("a")"#]);
        assert_eq!(two_lines, says(false, all_but(&["a"])));
    }

    #[test]
    fn an_invalid_field_changes_nothing() {
        for line in [
            r#"key-order="not a boolean""#,
            r#"params="not an inner list""#,
            "params=(not-a-string)",
            "params=?0",
            "params=?1",
            "params",
            r#"params=?1, except=("x")"#,
            r#"params=("a"), except=("x")"#,
            "params=(), except=()",
            r#"except="not an inner list""#,
            "except=(not-a-string)",
            "except=?1",
            r#"key-order=(1), params=("a")"#,
            "key-order=1",
            r#"params=("a"#,
            "",
        ] {
            assert_eq!(parse(&[line]), None, "{line}");
        }
    }

    #[test]
    fn queries_are_equivalent_as_the_draft_shows() {
        let order = parse(&["key-order"]).unwrap();
        let params = parse(&[r#"params=("a")"#]).unwrap();
        let except = parse(&[r#"except=("a")"#]).unwrap();
        let both = parse(&[r#"key-order, params=("a")"#]).unwrap();
        let accents = parse(&[r#"params=("%C3%A9+%E6%B0%97")"#]).unwrap();
        let cases = [
            (&order, None, Some(""), true),
            (&order, Some("a=x"), Some("%61=%78"), true),
            (&order, Some("a=é"), Some("a=%C3%A9"), true),
            (&order, Some("a=%f6"), Some("a=%ef%bf%bd"), true),
            (&order, Some("a=x&&&&"), Some("a=x"), true),
            (&order, Some("a="), Some("a"), true),
            (&order, Some("a=%20"), Some("a= &"), true),
            (&order, Some("a=+"), Some("a= &"), true),
            (&order, Some("a=1&b=2"), Some("b=2&a=1"), true),
            (&order, Some("a=1&a=2"), Some("a=2&a=1"), false),
            (&order, Some("a=1&b=2&a=3"), Some("b=2&a=1&a=3"), true),
            (&order, Some("a=1"), Some("a=2"), false),
            (&order, Some("a=1%26b=2"), Some("a=1&b=2"), false),
            (&order, Some("a%3D1"), Some("a=1"), false),
            (&order, Some("a=%2B"), Some("a=+"), false),
            (&order, Some("a=%2520"), Some("a=%20"), false),
            (&order, Some("a=%zz"), Some("a=%25zz"), true),
            (&params, Some("a=1&b=2"), Some("b=2&a=9"), true),
            (&params, Some("a=1"), None, true),
            (&params, Some("b=1&c=2"), Some("c=2&b=1"), false),
            (&params, Some("A=1"), None, false),
            (&except, Some("a=1&b=2"), Some("c=3&a=1"), true),
            (&except, Some("a=1"), Some("a=2"), false),
            (&both, Some("b=1&a=2&c=3"), Some("c=3&b=1"), true),
            (&accents, Some("é 気=1"), Some("é+気=2"), true),
            (
                &accents,
                Some("%C3%A9%20気=3"),
                Some("%C3%A9+%E6%B0%97=4"),
                true,
            ),
        ];
        for (config, a, b, expected) in cases {
            assert_eq!(equivalent(config, a, b), expected, "{config:?} {a:?} {b:?}");
            assert_eq!(equivalent(config, b, a), expected, "{config:?} {b:?} {a:?}");
        }
    }

    /// As the store compares them.
    fn equivalent(config: &SearchVariance, a: Option<&str>, b: Option<&str>) -> bool {
        config.canonical_query(a) == config.canonical_query(b)
    }

    /// The draft's comparison, step by step.
    fn slow_equivalent(config: &SearchVariance, a: &str, b: &str) -> bool {
        let list = |query: &str| {
            let mut list: Vec<_> = pairs(query)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .filter(|(name, _)| match &config.params {
                    Params::AllBut(names) => !names.iter().any(|n| **n == *name),
                    Params::Only(names) => names.iter().any(|n| **n == *name),
                })
                .collect();
            if !config.order_matters {
                list.sort_by(|x, y| x.0.encode_utf16().cmp(y.0.encode_utf16()));
            }
            list
        };
        list(a) == list(b)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_canonical_query_decides_as_the_draft_does(
            line in prop::sample::select(vec![
                "key-order", r#"params=("a")"#, r#"except=("a" "b")"#, r#"key-order, except=("a" "%62")"#,
            ]),
            a in "[ab&=+%25 ]{0,8}",
            b in "[ab&=+%25 ]{0,8}",
        ) {
            let config = parse(&[line]).unwrap();
            let found = equivalent(&config, Some(&a), Some(&b));
            prop_assert_eq!(found, slow_equivalent(&config, &a, &b) || a == b);
            let once = config.canonical_query(Some(&a));
            prop_assert_eq!(config.canonical_query(Some(&once)), once);
        }

        #[test]
        fn any_field_is_read_without_panic(line in "[ -~]{0,24}") {
            parse(&[&line]);
        }
    }
}
