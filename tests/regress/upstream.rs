//! One exchange with an upstream server: uploads, refusals, resets, fields.

mod close_delimited;
mod early_answers;
mod many_fields;
mod sent_again;
mod unavailable;
mod wrong_ranges;
