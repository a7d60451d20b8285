//! A value of the file, and what is said of it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env;
use super::report::Report;

/// A value and what it takes to read it.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) key: &'static str,
    pub(super) item: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub fn span(self) -> Range<usize> {
        self.item.span()
    }

    pub fn item(self) -> &'a DeValue<'a> {
        self.item.get_ref()
    }

    /// Notes a mistake; `None`, so that readers can return it.
    pub fn refuse<T>(self, message: impl Into<String>) -> Option<T> {
        self.report.mistake(self.span(), message);
        None
    }

    /// Notes that the value is of another type than `what`.
    pub fn refuse_type<T>(self, what: impl fmt::Display) -> Option<T> {
        let found = match self.item() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        self.refuse(format!("`{}` must be {what}, not {found}", self.key))
    }

    /// Notes what is wrong with the value's text, which is shown as it is written: never what a variable holds.
    pub fn refuse_text<T>(self, fault: impl fmt::Display) -> Option<T> {
        self.refuse(format!("`{}`: \"{}\" {fault}", self.key, self.written()))
    }

    /// Warns about the value's text, as it is written.
    pub fn warn_text(self, fault: impl fmt::Display) {
        let message = format!("`{}`: \"{}\" {fault}", self.key, self.written());
        self.report.warning(self.span(), message);
    }

    fn written(self) -> &'a str {
        match self.item() {
            DeValue::String(text) => text.as_ref(),
            _ => &self.report.source[self.span()],
        }
    }

    /// The text of a string, its environment variables replaced; `None` when it is none, or a variable is missing,
    /// and then the mistake is noted. `what` says what is expected.
    pub fn text(self, what: &str) -> Option<Cow<'a, str>> {
        let DeValue::String(text) = self.item() else {
            return self.refuse_type(what);
        };
        match env::substitute(text, self.report.lookup) {
            Ok(text) => Some(text),
            Err(unresolved) => {
                let mut span = self.span();
                // Where the string has escapes the part may not be found as it is; the whole string is meant then.
                if let Some(at) = self.report.source[span.clone()].find(unresolved.part) {
                    span.start += at;
                    span.end = span.start + unresolved.part.len();
                }
                self.report.mistake(span, unresolved.message);
                None
            }
        }
    }

    /// What `parse` makes of its text, of which it fails with what is wrong; as [`Self::text`] otherwise.
    pub fn parsed<T, E: fmt::Display>(
        self,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(what)?;
        parse(&text).map_or_else(|fault| self.refuse_text(fault), Some)
    }

    /// The members of an array; a value that is none counts as its only member.
    pub fn members(self) -> Vec<Self> {
        match self.item() {
            DeValue::Array(items) => items.iter().map(|item| Self { item, ..self }).collect(),
            _ => vec![self],
        }
    }

    /// The table that it is; `None`, with the mistake noted, when it is none. `title` is the header that begins it.
    pub fn table(self, title: &str) -> Option<&'a DeTable<'a>> {
        match self.item() {
            DeValue::Table(table) => Some(table),
            _ => self.refuse_type(format!("a section, as {title} begins")),
        }
    }
}
