//! The findings of reading a configuration file.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use super::env::Lookup;

/// The findings of reading a file: mistakes, warnings and notes with their places, and the keys that are known.
pub struct Report<'a> {
    pub(super) source: &'a str,
    /// The file's name, where it has one.
    pub(super) file: Option<Arc<str>>,
    pub(super) lookup: Lookup<'a>,
    /// All keys of all sections, for what is said of an unknown one.
    pub(super) all_keys: fn() -> Vec<KnownKey>,
    mistakes: RefCell<Vec<(Range<usize>, String)>>,
    warnings: RefCell<Vec<(Range<usize>, String)>>,
    notes: RefCell<Vec<(Range<usize>, String)>>,
    known: RefCell<Vec<KnownKey>>,
}

/// A key that some section reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// As in a header, `[cache]`; empty for the top of the file.
    pub section: String,
    pub key: &'static str,
}

impl<'a> Report<'a> {
    pub fn new(source: &'a str, lookup: Lookup<'a>, all_keys: fn() -> Vec<KnownKey>) -> Self {
        Self {
            source,
            file: None,
            lookup,
            all_keys,
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
            notes: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// The same for the file of this name.
    pub fn of_file(self, name: Option<&str>) -> Self {
        Self {
            file: name.map(Into::into),
            ..self
        }
    }

    pub fn mistake(&self, span: Range<usize>, message: impl Into<String>) {
        self.mistakes.borrow_mut().push((span, message.into()));
    }

    /// Notes what is accepted, but cannot mean what it seems to.
    pub fn warning(&self, span: Range<usize>, message: impl Into<String>) {
        self.warnings.borrow_mut().push((span, message.into()));
    }

    /// Notes what is fine as it is, and could be written in a better way.
    pub fn note(&self, span: Range<usize>, message: impl Into<String>) {
        self.notes.borrow_mut().push((span, message.into()));
    }

    /// Adds the keys that `section` reads.
    pub fn add_known(&self, section: &str, keys: &[&'static str]) {
        let known = keys.iter().map(|&key| KnownKey {
            section: section.to_owned(),
            key,
        });
        self.known.borrow_mut().extend(known);
    }

    /// The keys that all sections read so far.
    pub fn known(&self) -> Vec<KnownKey> {
        self.known.borrow().clone()
    }

    /// Whether a mistake within `span` has been noted.
    pub fn is_mistaken(&self, span: &Range<usize>) -> bool {
        let within =
            |(at, _): &(Range<usize>, String)| span.start <= at.start && at.end <= span.end;
        !span.is_empty() && self.mistakes.borrow().iter().any(within)
    }

    /// The mistakes noted so far, which are forgotten here.
    pub fn take_mistakes(&self) -> Vec<(Range<usize>, String)> {
        self.mistakes.take()
    }

    /// The mistakes, the warnings and the notes, in no order, with the bytes of the source that they are about.
    pub fn into_findings(self) -> [Vec<(Range<usize>, String)>; 3] {
        [self.mistakes, self.warnings, self.notes].map(RefCell::into_inner)
    }
}
