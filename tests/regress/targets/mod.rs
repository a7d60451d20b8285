//! Request targets, Host, and the URIs in responses.

mod admin;
mod base_path;
mod gates;
mod hosts;
mod locations;
mod operator;
mod raw;
mod spelling;
