//! One exchange with an upstream server: uploads, refusals, resets, fields.

mod early_answers;
mod sent_again;
