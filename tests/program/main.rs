//! The program as its users start it, and what they read: command line, demo, examples, README.

#[path = "../common/mod.rs"]
mod common;

mod activation;
mod command_line;
mod demo;
mod deploy;
mod examples;
mod handover;
mod killed;
mod operated;
mod readme;
mod reloaded;
mod running;
mod simulated_fleet;
mod tasks;
#[cfg(feature = "otlp")]
mod traces;
