//! Paths with named parts, as a route's `match` and `rewrite` are: `/books/{id}`, `/static/{*rest}`. What a path says of
//! the names, and the path that is made of them.

use smallvec::SmallVec;

use super::percent;

/// A segment of such a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'p> {
    Literal(&'p str),
    /// One octet or more, between two texts that may be empty.
    Part {
        before: &'p str,
        name: &'p str,
        after: &'p str,
    },
    /// All that is left, slashes and nothing at all included.
    Rest(&'p str),
}

impl<'p> Segment<'p> {
    /// Fails with what is wrong with it: a clause that follows the path.
    pub fn parse(text: &'p str) -> Result<Self, &'static str> {
        const BRACES: &str = "has braces that do not enclose a name, as in `{id}` or `{*rest}`";
        let Some((before, rest)) = text.split_once('{') else {
            return match text.contains('}') {
                true => Err(BRACES),
                false => Ok(Self::Literal(text)),
            };
        };
        let (name, after) = rest.split_once('}').ok_or(BRACES)?;
        if after.contains('{') {
            return Err("has two parameters in one segment");
        }
        let (name, is_rest) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let named = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if before.contains('}') || after.contains('}') || name.is_empty() || !named {
            return Err(BRACES);
        }
        match (is_rest, before, after) {
            (true, "", "") => Ok(Self::Rest(name)),
            (true, ..) => Err("has something beside its `{*…}` in one segment"),
            (false, before, after) => Ok(Self::Part {
                before,
                name,
                after,
            }),
        }
    }
}

/// What names stand for in one path.
pub type Named<'a> = SmallVec<[(&'a str, &'a str); 4]>;

/// A path with named parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathForm(Box<[Piece]>);

/// A segment; its texts are in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Part {
        before: Box<str>,
        name: Box<str>,
        after: Box<str>,
    },
    Rest(Box<str>),
}

impl PathForm {
    /// Reads a path from its first slash on. Fails with what is wrong with it: a clause that follows the path.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let path = text
            .strip_prefix('/')
            .ok_or("does not begin with a slash")?;
        let owned = |text: &str| Box::from(&*percent::normal(text));
        let piece = |text| -> Result<Piece, &'static str> {
            Ok(match Segment::parse(text)? {
                Segment::Literal(text) => Piece::Literal(owned(text)),
                Segment::Part {
                    before,
                    name,
                    after,
                } => Piece::Part {
                    before: owned(before),
                    name: name.into(),
                    after: owned(after),
                },
                Segment::Rest(name) => Piece::Rest(name.into()),
            })
        };
        let pieces: Vec<_> = path.split('/').map(piece).collect::<Result<_, _>>()?;
        let is_rest = |piece: &Piece| matches!(piece, Piece::Rest(_));
        if pieces.iter().rev().skip(1).any(is_rest) {
            return Err("has something after its `{*…}`");
        }
        Ok(Self(pieces.into()))
    }

    /// What the names stand for in `path`, which has no query; `None` where it is no such path. Literal text matches in any
    /// equivalent spelling (RFC 3986 §6.2.2), but beside a name only as it stands here.
    pub fn read<'a>(&'a self, path: &'a str) -> Option<Named<'a>> {
        let mut named = Named::new();
        let mut left = Some(path.strip_prefix('/')?);
        for piece in &self.0 {
            let rest = left?;
            if let Piece::Rest(name) = piece {
                named.push((name, rest));
                return Some(named);
            }
            let (segment, after) = match rest.split_once('/') {
                Some((segment, after)) => (segment, Some(after)),
                None => (rest, None),
            };
            if let Piece::Part {
                before,
                name,
                after,
            } = piece
            {
                let value = segment.strip_prefix(&**before)?.strip_suffix(&**after)?;
                if value.is_empty()
                    || named
                        .iter()
                        .any(|known| *known.0 == **name && known.1 != value)
                {
                    return None;
                }
                named.push((name, value));
            } else if let Piece::Literal(text) = piece
                && percent::normal(segment) != **text
            {
                return None;
            }
            left = after;
        }
        left.is_none().then_some(named)
    }

    /// The path in which the names stand for that; the first of a name counts. `None` where one is missing.
    pub fn write(&self, named: &Named<'_>) -> Option<String> {
        let value = |name: &str| {
            let found = named.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        let mut path = String::new();
        for piece in &self.0 {
            path.push('/');
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Part {
                    before,
                    name,
                    after,
                } => {
                    path.push_str(before);
                    path.push_str(value(name)?);
                    path.push_str(after);
                }
                Piece::Rest(name) => path.push_str(value(name)?),
            }
        }
        Some(path)
    }

    /// The names, in their order; one may come twice.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Part { name, .. } | Piece::Rest(name) => Some(&**name),
        })
    }

    /// The same without the segments of `prefix`, which begins with a slash and has no names; `None` where this does not
    /// begin with them.
    pub fn below(&self, prefix: &str) -> Option<Self> {
        let mut left = &*self.0;
        for segment in prefix.strip_prefix('/')?.split('/') {
            let (first, rest) = left.split_first()?;
            match first {
                Piece::Literal(text) if percent::normal(segment) == **text => left = rest,
                _ => return None,
            }
        }
        Some(match left {
            [] => Self([Piece::Literal("".into())].into()),
            left => Self(left.into()),
        })
    }

    /// Whether `path` begins with the segments that it says itself, up to its first name.
    pub fn is_begun_by(&self, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/') else {
            return false;
        };
        let mut segments = path.split('/');
        let literals = self.0.iter().map_while(|piece| match piece {
            Piece::Literal(text) => Some(&**text),
            Piece::Part { .. } | Piece::Rest(_) => None,
        });
        let mut literals = literals.map(|text| {
            let segment = segments.next();
            segment.is_some_and(|segment| percent::normal(segment) == text)
        });
        literals.all(|is_same| is_same)
    }

    /// How many octets of a path it says itself: of two such paths, the one with more is the more specific.
    pub fn literal_octets(&self) -> usize {
        let own = |piece: &Piece| match piece {
            Piece::Literal(text) => 1 + text.len(),
            Piece::Part { before, after, .. } => 1 + before.len() + after.len(),
            Piece::Rest(_) => 0,
        };
        self.0.iter().map(own).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> PathForm {
        PathForm::parse(text).unwrap_or_else(|fault| panic!("{text} {fault}"))
    }

    #[test]
    fn names_stand_for_what_they_stand_for_in_the_path() {
        for (text, path, expected) in [
            ("/books", "/books", Some("")),
            ("/books", "/books/", None),
            ("/books", "/%62ooks", Some("")),
            ("/b%C3%BCcher", "/b%c3%bccher", Some("")),
            ("/bücher", "/b%C3%BCcher", Some("")),
            ("/books/{id}", "/books/1", Some("id=1")),
            ("/books/{id}", "/books/a%2Fb", Some("id=a%2Fb")),
            ("/books/{id}", "/books/", None),
            ("/books/{id}", "/books", None),
            ("/books/{id}", "/books/1/2", None),
            ("/books/{id}.json", "/books/1.json", Some("id=1")),
            ("/books/{id}.json", "/books/.json", None),
            ("/books/{id}/", "/books/1/", Some("id=1")),
            ("/{a}/{b}", "/x/y", Some("a=x b=y")),
            ("/{a}/{a}", "/x/x", Some("a=x a=x")),
            ("/{a}/{a}", "/x/y", None),
            ("/static/{*rest}", "/static/a//b/", Some("rest=a//b/")),
            ("/static/{*rest}", "/static/", Some("rest=")),
            ("/static/{*rest}", "/static", None),
            ("/{*all}", "/", Some("all=")),
            ("/", "/", Some("")),
            ("/", "", None),
            ("/{*all}", "*", None),
        ] {
            let form = form(text);
            let named = form.read(path);
            let shown = named.as_ref().map(|named| {
                let shown: Vec<_> = named
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                shown.join(" ")
            });
            assert_eq!(shown.as_deref(), expected, "{text} {path}");
            if let Some(named) = named {
                let written = form.write(&named).expect("all names");
                assert_eq!(percent::normal(&written), percent::normal(path), "{text}");
            }
        }
        assert_eq!(form("/a/{b}").write(&Named::new()), None);
    }

    #[test]
    fn a_path_begins_as_the_form_says_or_not() {
        for (text, path, expected) in [
            ("/v1/{*rest}", "/v1/a", true),
            ("/v1/{*rest}", "/%76%31/a", true),
            ("/v1/{*rest}", "/a", false),
            ("/v1/{*rest}", "/v1", true),
            ("/v1/a/{id}", "/v1", false),
            ("/{*rest}", "/a", true),
            ("/{id}/a", "/b", true),
            ("/v1", "", false),
        ] {
            assert_eq!(form(text).is_begun_by(path), expected, "{text} {path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_by_whole_segments() {
        for (text, prefix, left) in [
            ("/v1/books/{id}", "/v1", Some("/books/{id}")),
            ("/v1/{*rest}", "/v1", Some("/{*rest}")),
            ("/v1", "/v1", Some("/")),
            ("/v1/", "/v1", Some("/")),
            ("/a/v1/b", "/a/v1", Some("/b")),
            ("/%76%31/b", "/v1", Some("/b")),
            ("/v12/b", "/v1", None),
            ("/{v}/b", "/v1", None),
            ("/v1/{*rest}", "/v1/a", None),
            ("/a", "/a/b", None),
        ] {
            assert_eq!(form(text).below(prefix), left.map(form), "{text} {prefix}");
        }
    }
}
