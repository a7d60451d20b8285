//! Targeted cache-control fields (RFC 9213): dictionaries of cache directives, by the rules of structured fields.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry};

use super::directive::field_names;
use super::response::{ResponseDirectives, Scoped};
use crate::semantics::groups;
use crate::semantics::time::DeltaSeconds;

impl ResponseDirectives {
    /// Reads the first of the `targeted` fields that is valid and not empty (RFC 9213 §2.2), else Cache-Control.
    ///
    /// Where directives are repeated or contradict one another the most restrictive counts (RFC 9111 §4.2.1). One that
    /// restricts counts whatever its argument is; one that permits does only as it is defined.
    pub fn parse(response: &HeaderMap, targeted: &[HeaderName]) -> Self {
        from_target_list(response, targeted).unwrap_or_else(|| Self::from_cache_control(response))
    }
}

/// The directives of the first field of the target list that is a dictionary (§2.1) and not empty; `None` when there is
/// none (§2.2).
fn from_target_list(
    response: &HeaderMap,
    target_list: &[HeaderName],
) -> Option<ResponseDirectives> {
    target_list
        .iter()
        .filter_map(|name| groups::parse::<Dictionary>(response, name))
        .find(|members| !members.is_empty())
        .map(|members| directives(&members))
}

/// Values of another type than the directive's are not consumed (§2.1): a lifetime that is no integer makes the response
/// stale, as in Cache-Control. A directive that restricts does so with any value but false.
fn directives(members: &Dictionary) -> ResponseDirectives {
    let mut found = ResponseDirectives {
        targeted: true,
        ..ResponseDirectives::default()
    };
    for (name, value) in members {
        misplaced(&mut found, value);
        let present = !is(value, false);
        match name.as_str() {
            "max-age" => found.max_age = Some(seconds(value)),
            "s-maxage" => found.s_maxage = Some(seconds(value)),
            "stale-while-revalidate" => found.stale_while_revalidate = Some(seconds(value)),
            "stale-if-error" => found.stale_if_error = Some(seconds(value)),
            "no-cache" if found.no_cache != Scoped::Whole => found.no_cache = scoped(value),
            "private" if found.private != Scoped::Whole => found.private = scoped(value),
            "no-store" => found.no_store |= present,
            "no-transform" => found.no_transform |= present,
            "must-revalidate" => found.must_revalidate |= present,
            "proxy-revalidate" => found.proxy_revalidate |= present,
            "must-understand" => found.must_understand = present,
            "public" => found.public = is(value, true),
            "immutable" => found.immutable = present,
            _ => {}
        }
    }
    found
}

/// Directives behind a semicolon are parameters, which mean nothing (§2.1). They were meant to be members, and those that
/// restrict count as such: never to reuse a response is no violation.
fn misplaced(found: &mut ResponseDirectives, value: &ListEntry) {
    let parameters = match value {
        ListEntry::Item(item) => &item.params,
        ListEntry::InnerList(list) => &list.params,
    };
    for (name, value) in parameters {
        if *value == BareItem::Boolean(false) {
            continue;
        }
        match name.as_str() {
            "max-age" | "s-maxage" => {
                let secs = bare_seconds(value);
                found.limit = Some(found.limit.map_or(secs, |other| other.min(secs)));
            }
            "no-cache" => found.no_cache = Scoped::Whole,
            "private" => found.private = Scoped::Whole,
            "no-store" => found.no_store = true,
            "no-transform" => found.no_transform = true,
            "must-revalidate" => found.must_revalidate = true,
            "proxy-revalidate" => found.proxy_revalidate = true,
            _ => {}
        }
    }
}

fn is(value: &ListEntry, expected: bool) -> bool {
    matches!(value, ListEntry::Item(item) if item.bare_item == BareItem::Boolean(expected))
}

fn seconds(value: &ListEntry) -> DeltaSeconds {
    match value {
        ListEntry::Item(item) => bare_seconds(&item.bare_item),
        ListEntry::InnerList(_) => DeltaSeconds::ZERO,
    }
}

fn bare_seconds(value: &BareItem) -> DeltaSeconds {
    match value {
        BareItem::Integer(secs) => u64::try_from(i64::from(*secs)).ok(),
        _ => None,
    }
    .map_or(DeltaSeconds::ZERO, DeltaSeconds::new)
}

fn scoped(value: &ListEntry) -> Scoped {
    if is(value, false) {
        return Scoped::Absent;
    }
    let names = match value {
        ListEntry::Item(item) => match &item.bare_item {
            BareItem::String(list) => field_names(list.as_str().as_bytes()),
            BareItem::Token(name) => field_names(name.as_str().as_bytes()),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    names.map_or(Scoped::Whole, Scoped::Fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: HeaderName = HeaderName::from_static("bookend-cache-control");
    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");

    fn parsed(fields: &[(&'static str, &str)]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        ResponseDirectives::parse(&headers, &[OURS, CDN])
    }

    fn targeted() -> ResponseDirectives {
        ResponseDirectives {
            targeted: true,
            ..ResponseDirectives::default()
        }
    }

    fn max_age(secs: u64) -> Option<DeltaSeconds> {
        Some(DeltaSeconds::new(secs))
    }

    #[test]
    fn the_first_valid_field_of_the_target_list_decides_alone() {
        let cc = ("cache-control", "max-age=1, no-store");
        type Fields<'a> = &'a [(&'static str, &'a str)];
        let cases: [(Fields, Option<u64>, bool); 9] = [
            (&[("cdn-cache-control", "max-age=60"), cc], Some(60), true),
            (
                &[
                    ("cdn-cache-control", "max-age=60"),
                    ("bookend-cache-control", "max-age=5"),
                    cc,
                ],
                Some(5),
                true,
            ),
            (
                &[
                    ("cdn-cache-control", "max-age=60"),
                    ("bookend-cache-control", "max-age=&"),
                    cc,
                ],
                Some(60),
                true,
            ),
            (
                &[
                    ("cdn-cache-control", "max-age=60"),
                    ("bookend-cache-control", ""),
                    cc,
                ],
                Some(60),
                true,
            ),
            (&[("cdn-cache-control", "none"), cc], None, true),
            (&[("cdn-cache-control", ""), cc], Some(1), false),
            (
                &[("cdn-cache-control", "max-age=60, &&&"), cc],
                Some(1),
                false,
            ),
            (&[("cdn-cache-control", "Max-Age=60"), cc], Some(1), false),
            (&[("other-cache-control", "max-age=60"), cc], Some(1), false),
        ];
        for (fields, secs, by_target) in cases {
            let found = parsed(fields);
            assert_eq!(found.max_age, secs.map(DeltaSeconds::new), "{fields:?}");
            assert_eq!(found.targeted, by_target, "{fields:?}");
            assert_eq!(found.no_store, !by_target, "{fields:?}");
        }
    }

    #[test]
    fn values_have_the_types_that_their_directives_have() {
        let cases: [(&str, ResponseDirectives); 17] = [
            (
                "max-age=60",
                ResponseDirectives {
                    max_age: max_age(60),
                    ..targeted()
                },
            ),
            (
                "max-age=0",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            (
                "max-age=999999999999999",
                ResponseDirectives {
                    max_age: Some(DeltaSeconds::MAX),
                    ..targeted()
                },
            ),
            (
                "max-age=-60",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            (
                "max-age=60.5",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            (
                "max-age=\"60\"",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            (
                "max-age",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            (
                "max-age=(60)",
                ResponseDirectives {
                    max_age: max_age(0),
                    ..targeted()
                },
            ),
            // The last of several counts (RFC 9651 §3.2), and parameters do not.
            (
                "max-age=60, max-age=5",
                ResponseDirectives {
                    max_age: max_age(5),
                    ..targeted()
                },
            ),
            (
                "max-age=60;a=5",
                ResponseDirectives {
                    max_age: max_age(60),
                    ..targeted()
                },
            ),
            (
                "no-store, must-revalidate, public, immutable, foo=?0",
                ResponseDirectives {
                    no_store: true,
                    must_revalidate: true,
                    public: true,
                    immutable: true,
                    ..targeted()
                },
            ),
            ("no-store=?0, public=1", targeted()),
            (
                "proxy-revalidate, must-understand, no-transform",
                ResponseDirectives {
                    proxy_revalidate: true,
                    must_understand: true,
                    no_transform: true,
                    ..targeted()
                },
            ),
            (
                "s-maxage=1, stale-while-revalidate=2, stale-if-error=3",
                ResponseDirectives {
                    s_maxage: max_age(1),
                    stale_while_revalidate: max_age(2),
                    stale_if_error: max_age(3),
                    ..targeted()
                },
            ),
            (
                "no-cache, private=(a)",
                ResponseDirectives {
                    no_cache: Scoped::Whole,
                    private: Scoped::Whole,
                    ..targeted()
                },
            ),
            (
                "no-cache=\"a, B\", private=set-cookie",
                ResponseDirectives {
                    no_cache: Scoped::Fields(vec![
                        HeaderName::from_static("a"),
                        HeaderName::from_static("b"),
                    ]),
                    private: Scoped::Fields(vec![http::header::SET_COOKIE]),
                    ..targeted()
                },
            ),
            (
                "no-cache=1, private=?0",
                ResponseDirectives {
                    no_cache: Scoped::Whole,
                    ..targeted()
                },
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(parsed(&[("cdn-cache-control", value)]), expected, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_dictionary() {
        let found = parsed(&[
            ("cdn-cache-control", "max-age=60"),
            ("cdn-cache-control", "no-cache"),
        ]);
        assert_eq!(found.max_age, max_age(60));
        assert_eq!(found.no_cache, Scoped::Whole);
    }
}
