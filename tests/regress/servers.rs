//! Several servers of one upstream: their health, their queues, their names.

mod reload;
mod room;
