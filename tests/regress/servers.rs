//! Several servers of one upstream: their health, their queues, their names.

mod leaving;
mod reload;
mod room;
