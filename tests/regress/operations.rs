//! Configuration, logs, metrics, purge and the rest of the operator's side.

mod access_log;
mod foreign;
mod log;
mod parameters;
mod stopped;
