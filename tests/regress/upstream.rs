//! One exchange with an upstream server: uploads, refusals, resets, fields.
