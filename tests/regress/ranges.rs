//! Parts of a representation.

mod another_part;
mod file;
mod parts;
mod properties;
