//! One exchange with an upstream server: uploads, refusals, resets, fields.

mod early_answers;
mod many_fields;
mod sent_again;
mod wrong_ranges;
