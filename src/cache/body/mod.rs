//! A body that is being filled by one writer and read by many, each at its own pace.
//!
//! While the body may still be stored, all of it is kept. Once it may not ([`Writer::stop_storing`]), only a window
//! is kept: the writer waits for its readers, and [`Writer::charge_slow_readers`] cuts off readers that hold the others up for
//! too long.

mod shared;
mod state;
mod stored;
mod writer;

pub use self::shared::{Reader, SharedBody};
pub use self::state::{Chunk, Window};
pub use self::stored::{SEGMENT, StoredBody, counted};
pub use self::writer::{OverBudget, Writer};

#[cfg(test)]
mod tests;
