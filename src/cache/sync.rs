//! The locks and flags that bodies, fills and the store are made of. A build with `--cfg bookend_loom` takes loom's in
//! their place, which tries every order in which threads can meet: `tests/loom.rs`.

#[cfg(bookend_loom)]
pub use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};
#[cfg(not(bookend_loom))]
pub use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64},
};
