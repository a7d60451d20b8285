//! Parts of a representation.

mod file;
mod parts;
mod properties;
