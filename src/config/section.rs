//! One table of the file. Reading never stops at a mistake: a [`Section`] hands its values to readers, remembers the keys
//! that were read, and so knows which ones are unknown.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::Place;
use super::renamed::former_names;
use super::report::{KnownKey, Report};
use super::value::Value;

/// One table, while it is read.
pub struct Section<'a> {
    report: &'a Report<'a>,
    title: String,
    /// `None` when the file has no such table: all is at its default.
    table: Option<&'a DeTable<'a>>,
    span: Range<usize>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads a whole file.
    pub fn read_root<T>(
        report: &'a Report<'a>,
        root: &'a Spanned<DeTable<'a>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Self::read(report, String::new(), Some(root.get_ref()), 0..0, read)
    }

    /// Reads a table with `read`; the keys that `read` did not ask for are mistakes.
    fn read<T>(
        report: &'a Report<'a>,
        title: String,
        table: Option<&'a DeTable<'a>>,
        span: Range<usize>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mut section = Self {
            report,
            title,
            table,
            span,
            known: Vec::new(),
        };
        let result = read(&mut section);
        section.report.add_known(&section.title, &section.known);
        for (key, _) in section.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            let is_former =
                |known: &&&str| former_names(&section.title, known).any(|old| old == name);
            if let Some(known) = section.known.iter().find(is_former) {
                section.renamed(key, known);
            } else if !section.known.contains(&name) {
                let message = unknown(name, &section.title, &section.known, report.all_keys);
                report.mistake(key.span(), message);
            }
        }
        result
    }

    /// Whether the file has this table.
    pub fn is_given(&self) -> bool {
        self.table.is_some()
    }

    /// Where the section's header is; empty at the start of the file when it has none.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line that its header is in, from 1.
    pub fn line(&self) -> usize {
        Place::of(self.report.source, self.span()).line
    }

    /// As in its header: `[cache]`.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The name of the file, where it has one.
    pub fn file(&self) -> Option<Arc<str>> {
        self.report.file.clone()
    }

    /// Its keys as they are written, each with the line that its value begins in, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (&str, usize)> {
        let entries = self.table.into_iter().flatten();
        entries.map(|(key, item)| {
            let line = Place::of(self.report.source, item.span()).line;
            (&**key.get_ref(), line)
        })
    }

    pub fn mistake(&self, span: Range<usize>, message: impl Into<String>) {
        self.report.mistake(span, message);
    }

    pub fn warning(&self, span: Range<usize>, message: impl Into<String>) {
        self.report.warning(span, message);
    }

    /// Where the value of `key` is, if the operator gave one.
    pub fn given(&self, key: &'static str) -> Option<Range<usize>> {
        let (_, item) = find(self.table?, &self.title, key)?;
        Some(item.span())
    }

    /// Whether a mistake within `span` has been noted: its consequences need not be noted, too.
    pub fn is_mistaken(&self, span: &Range<usize>) -> bool {
        self.report.is_mistaken(span)
    }

    /// Whether the value of `key` is "off".
    pub fn is_off(&self, key: &'static str) -> bool {
        let value = self.table.and_then(|table| table.get(key));
        let value = value.map(Spanned::get_ref);
        matches!(value, Some(DeValue::String(text)) if text == "off")
    }

    /// Where `key` of the table `section` inside of this one, `upstream` or `upstreams.films`, has its value; where the section is when it has no such
    /// key, and the start of the file when there is no such section.
    pub fn place(&self, section: &str, key: &'static str) -> Range<usize> {
        let given = self.given_in(section, key);
        let table = || {
            let mut names = section.split('.');
            let first = self.table?.get(names.next()?)?;
            names.try_fold(first, |table, name| table.get_ref().get(name))
        };
        given
            .or_else(|| table().map(Spanned::span))
            .unwrap_or_default()
    }

    /// Where the value of `key` of the table `section` inside of this one is, if the operator gave one.
    pub fn given_in(&self, section: &str, key: &'static str) -> Option<Range<usize>> {
        let table = section.split('.').try_fold(self.table?, |table, name| {
            table.get(name)?.get_ref().as_table()
        })?;
        let (_, item) = find(table, &format!("[{section}]"), key)?;
        Some(item.span())
    }

    /// The value of `key`, or of a former name of it, if the operator gave one.
    pub fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (name, item) = find(self.table?, &self.title, key)?;
        Some(Value {
            report: self.report,
            key: name,
            item,
        })
    }

    /// Puts what `read` makes of `key`'s value into `field`, which keeps its default where there is no value, or a
    /// wrong one.
    pub fn set<T>(
        &mut self,
        key: &'static str,
        field: &mut T,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) {
        if let Some(value) = self.value(key).and_then(read) {
            *field = value;
        }
    }

    /// Reads the table `key` inside of this one, or an empty one.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'a>) -> T) -> T {
        let title = match self.title.trim_matches(['[', ']']) {
            "" => format!("[{key}]"),
            outer => format!("[{outer}.{key}]"),
        };
        let value = self.value(key);
        let table = value.and_then(|value| value.table(&title));
        let span = value.map_or(0..0, |value| value.span());
        Self::read(self.report, title, table, span, read)
    }

    /// The same where "off" may stand for the table; `None` then.
    pub fn section_or_off<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'a>) -> T,
    ) -> Option<T> {
        if self.is_off(key) {
            self.known.push(key);
            return None;
        }
        Some(self.section(key, read))
    }

    /// Reads each table of the table `key`, as `[key.NAME]` makes it, and gives `read` its name.
    pub fn named_sections(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'a>),
    ) {
        let Some(value) = self.value(key) else {
            return;
        };
        let Some(tables) = value.table(&format!("[{key}.NAME]")) else {
            return;
        };
        let is_of = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
        for (name, item) in tables {
            let (span, name) = (name.span(), &**name.get_ref());
            let value = Value { item, ..value };
            let DeValue::Table(table) = value.item() else {
                let message = format!(
                    "`{name}` is not a section: begin one with [{key}.NAME] for each name, and write its keys there"
                );
                self.mistake(span, message);
                continue;
            };
            if name.is_empty() || !name.bytes().all(is_of) {
                let message = format!("\"{name}\" is not a name; use letters, digits, `-` and `_`");
                self.mistake(span, message);
                continue;
            }
            let title = format!("[{key}.{name}]");
            Self::read(self.report, title, Some(table), value.span(), |section| {
                read(name, section)
            });
        }
    }

    /// Reads each table of the array `key`, as `[[key]]` makes it.
    pub fn sections(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'a>)) {
        let title = match self.title.trim_matches(['[', ']']) {
            "" => format!("[[{key}]]"),
            outer => format!("[[{outer}.{key}]]"),
        };
        let Some(value) = self.value(key) else {
            return;
        };
        let DeValue::Array(items) = value.item.get_ref() else {
            value.refuse::<()>(format!(
                "each `{key}` begins with {title}, in double brackets"
            ));
            return;
        };
        for item in items {
            let value = Value { item, ..value };
            if let Some(table) = value.table(&title) {
                Self::read(
                    self.report,
                    title.clone(),
                    Some(table),
                    value.span(),
                    &mut read,
                );
            }
        }
    }

    /// Says that `former` is the former name of the key `name`.
    fn renamed(&self, former: &Spanned<Cow<'_, str>>, name: &str) {
        let old = former.get_ref();
        if self.table.is_some_and(|table| table.contains_key(name)) {
            let message = format!(
                "`{old}` is the former name of `{name}`, which has a value too: remove `{old}`"
            );
            self.report.mistake(former.span(), message);
        } else {
            let message = format!("`{old}` is called `{name}` now; the former name still works");
            self.report.note(former.span(), message);
        }
    }
}

/// The name under which `table`, whose title is given, has a value for `key`, and the value.
fn find<'a>(
    table: &'a DeTable<'a>,
    title: &str,
    key: &'static str,
) -> Option<(&'static str, &'a Spanned<DeValue<'a>>)> {
    let mut names = std::iter::once(key).chain(former_names(title, key));
    names.find_map(|name| Some((name, table.get(name)?)))
}

fn unknown(name: &str, section: &str, known: &[&str], all_keys: fn() -> Vec<KnownKey>) -> String {
    let place = match section {
        "" => "at the top of the file",
        title => &format!("in {title}"),
    };
    let unknown = format!("unknown key `{name}` {place}");
    if let Some(near) = nearest(name, known) {
        return format!("{unknown}; did you mean `{near}`?");
    }
    let mut others: Vec<String> = all_keys()
        .into_iter()
        .filter(|known| known.key == name)
        .map(|known| known.section)
        .filter(|title| !title.is_empty())
        .collect();
    others.dedup();
    match others.is_empty() {
        true => unknown,
        false => format!("{unknown}; it belongs in {}", others.join(" or ")),
    }
}

/// The known key, or other word in lower case, that `name` was probably meant to be.
pub fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = name.to_lowercase().replace('-', "_");
    let (distance, key) = known
        .iter()
        .map(|&key| (strsim::damerau_levenshtein(&name, key), key))
        .min_by_key(|&(distance, _)| distance)?;
    // A third of the letters may differ: more is another word.
    let close = distance * 3 <= key.len().max(3);
    let part = name.len() >= 4 && (key.starts_with(&name) || key.ends_with(&name));
    if close || part {
        return Some(key);
    }
    known
        .iter()
        .copied()
        .find(|key| name.len() >= 4 && (key.contains(&name) || name.contains(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_one_that_could_have_been_meant() {
        let known = [
            "memory",
            "max_variants",
            "window",
            "ttl",
            "ttl_mode",
            "max_stored_body",
        ];
        for (name, near) in [
            ("memroy", Some("memory")),
            ("memory_size", Some("memory")),
            ("Memory", Some("memory")),
            ("max-variants", Some("max_variants")),
            ("variants", Some("max_variants")),
            ("tll", Some("ttl")),
            ("ttlmode", Some("ttl_mode")),
            ("stored_body", Some("max_stored_body")),
            ("x", None),
            ("listen", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }
}
