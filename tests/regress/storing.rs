//! What is stored, what is not, and what an answer says of what is stored already.

mod broken_off;
mod cookies;
mod disconnected;
mod errors;
mod groups;
mod mistyped;
mod outdated;
mod passed;
mod posts;
mod published;
mod purge_method;
mod purges;
mod receipts;
mod room;
mod statuses;
mod tags;
