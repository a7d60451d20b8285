//! Request targets, Host, and the URIs in responses.

mod base_path;
mod hosts;
mod locations;
