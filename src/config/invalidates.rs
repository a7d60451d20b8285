//! `invalidates` and `tags` of a route: what else is stale once a write to it has succeeded, and by which tags its responses
//! are purged. A path or a tag, in which `{id}` stands for what it stands for in the route's own pattern.

use super::paths::foreign_syntax;
use super::value::Value;
use crate::semantics::percent;

/// A path or a tag with parameters of the route's pattern in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Parameter(Box<str>),
}

impl Template {
    /// The text for a request to `path`, in normal form, which matches `pattern`; `None` when it does not.
    pub fn for_request(&self, pattern: &str, path: &str) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Parameter(name) => filled.push_str(parameter(pattern, path, name)?),
            }
        }
        Some(filled)
    }

    fn parse_path(text: &str, pattern: &str) -> Result<Self, &'static str> {
        if !text.starts_with('/') {
            return Err("does not begin with a slash");
        }
        if text.contains(['?', '#']) {
            return Err("has a query or fragment; all queries of the path are invalidated");
        }
        if let Some(fault) = foreign_syntax(text) {
            return Err(fault);
        }
        Self::parse(text, pattern)
    }

    fn parse_tag(text: &str, pattern: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
            return Err("is no tag: write one such as \"books\" or \"book-{id}\"");
        }
        Self::parse(text, pattern)
    }

    fn parse(text: &str, pattern: &str) -> Result<Self, &'static str> {
        const BRACES: &str = "has braces that do not enclose a name, as in `{id}`";
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(BRACES)?;
            if !names(pattern).any(|known| known == name) {
                return Err("has a parameter that is not in the route's `match`");
            }
            pieces.push(Piece::Text(before.into()));
            pieces.push(Piece::Parameter(name.into()));
            rest = after;
        }
        if rest.contains('}') {
            return Err(BRACES);
        }
        pieces.push(Piece::Text(rest.into()));
        Ok(Self { pieces })
    }
}

/// Reads one member of `invalidates`, for the route with `pattern`.
pub(super) fn path<'a>(pattern: &str) -> impl Fn(Value<'a>) -> Option<Template> {
    template("a path such as \"/books\"", move |text| {
        Template::parse_path(text, pattern)
    })
}

/// Reads one member of `tags`, for the route with `pattern`.
pub(super) fn tag<'a>(pattern: &str) -> impl Fn(Value<'a>) -> Option<Template> {
    template("a tag such as \"book-{id}\"", move |text| {
        Template::parse_tag(text, pattern)
    })
}

fn template<'a>(
    what: &'static str,
    parse: impl Fn(&str) -> Result<Template, &'static str>,
) -> impl Fn(Value<'a>) -> Option<Template> {
    move |value| {
        // Braces of a template would be taken for a variable's.
        let toml::de::DeValue::String(text) = value.item() else {
            return value.refuse_type(what);
        };
        match parse(text) {
            Ok(template) => Some(template),
            Err(fault) => value.refuse_text(fault),
        }
    }
}

/// The names of a pattern's parameters, with the star of `{*rest}` taken off.
fn names(pattern: &str) -> impl Iterator<Item = &str> {
    let braced = pattern
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'));
    braced.map(|(name, _)| name.trim_start_matches('*'))
}

/// What the parameter `name` of `pattern` stands for in `path`.
fn parameter<'a>(pattern: &str, path: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = path;
    for segment in pattern.split_inclusive('/') {
        let Some((before, after)) = segment.split_once('{') else {
            rest = rest.split_once('/').map_or("", |(_, rest)| rest);
            continue;
        };
        let (own, after) = after.split_once('}')?;
        if own.strip_prefix('*') == Some(name) {
            return Some(rest);
        }
        let (value, left) = rest.split_once('/').unwrap_or((rest, ""));
        if own == name {
            // As the path is written, whichever way the pattern is.
            return value
                .strip_prefix(&*percent::normal(before))?
                .strip_suffix(&*percent::normal(after.trim_end_matches('/')));
        }
        rest = left;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_for_what_they_stand_for_in_the_pattern() {
        let cases = [
            ("/books/{id}", "/books/123", "/books", Some("/books")),
            (
                "/books/{id}",
                "/books/123",
                "/books/{id}/reviews/",
                Some("/books/123/reviews/"),
            ),
            (
                "/books/{id}/reviews/{review}",
                "/books/1/reviews/2",
                "/books/{id}/reviews/",
                Some("/books/1/reviews/"),
            ),
            (
                "/books/{id}/reviews/{review}",
                "/books/1/reviews/2",
                "/r/{review}/{id}",
                Some("/r/2/1"),
            ),
            ("/{kind}-{*rest}", "/x", "/y", Some("/y")),
            (
                "/books/{id}.json",
                "/books/7.json",
                "/books/{id}",
                Some("/books/7"),
            ),
            ("/a/{*rest}", "/a/b/c", "/z/{rest}", Some("/z/b/c")),
        ];
        for (pattern, path, text, expected) in cases {
            let template = Template::parse_path(text, pattern).unwrap();
            assert_eq!(
                template.for_request(pattern, path).as_deref(),
                expected,
                "{pattern} {path} {text}"
            );
        }
    }

    #[test]
    fn templates_name_only_what_the_pattern_has() {
        for (text, fault) in [
            ("books", "slash"),
            ("/books/{isbn}", "not in the route"),
            ("/books/{id", "braces"),
            ("/books/id}", "braces"),
            ("/books?x={id}", "query"),
        ] {
            let refused = Template::parse_path(text, "/books/{id}").unwrap_err();
            assert!(refused.contains(fault), "{text}: {refused}");
        }
        for (text, fault) in [
            ("", "is no tag"),
            (" a", "is no tag"),
            ("a\n", "is no tag"),
            ("book-{isbn}", "not in the route"),
            ("book-{id", "braces"),
        ] {
            let refused = Template::parse_tag(text, "/books/{id}").unwrap_err();
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }

    #[test]
    fn a_tag_has_what_the_pattern_s_parameters_stand_for() {
        for (text, expected) in [
            ("books", "books"),
            ("book-{id}", "book-7"),
            ("{id}", "7"),
            ("{id} of {shelf}", "7 of a%20b"),
        ] {
            let pattern = "/{shelf}/books/{id}.json";
            let template = Template::parse_tag(text, pattern).unwrap();
            let tag = template.for_request(pattern, "/a%20b/books/7.json");
            assert_eq!(tag.as_deref(), Some(expected));
        }
    }
}
