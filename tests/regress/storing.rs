//! Which responses are stored, and what they do to those that are stored already.
