//! Several servers of one upstream: their health, their queues, their names.

mod forwarded;
mod half_closed;
mod leaving;
mod long_lived;
mod names;
mod reload;
mod room;
mod trust;
