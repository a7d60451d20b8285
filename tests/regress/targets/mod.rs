//! Request targets, Host, and the URIs in responses.

mod hosts;
