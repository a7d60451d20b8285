//! Parts of a representation.
