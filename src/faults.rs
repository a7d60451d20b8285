//! Faults of a disk, by which tests see what the ledger and the second tiers make of them. Outside of tests there are none.

use std::fmt;
use std::io;
use std::sync::Arc;

/// What is about to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The ledger is appended to, or written anew.
    LedgerWrite,
    LedgerSync,
    /// A file of the disk tier is made, or room for it is set apart.
    DiskMake,
    DiskRead,
    DiskWrite,
}

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    /// A write writes half; any other operation is done.
    Short,
    /// It fails with this error number of the system.
    Fails(i32),
}

type Decide = dyn Fn(Operation) -> Fate + Send + Sync;

/// Decides what becomes of each operation, which waits until that is decided.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Decide>>);

impl Faults {
    pub fn by(decide: impl Fn(Operation) -> Fate + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    /// Whether there may be any.
    pub fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// What becomes of an operation.
    pub fn of(&self, operation: Operation) -> Fate {
        self.0
            .as_ref()
            .map_or(Fate::Done, |decide| decide(operation))
    }

    /// Fails where an operation does that cannot be done by half.
    ///
    /// # Errors
    /// With that of the system that was decided.
    pub fn check(&self, operation: Operation) -> io::Result<()> {
        match self.of(operation) {
            Fate::Done | Fate::Short => Ok(()),
            Fate::Fails(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.is_any()).finish()
    }
}

/// They are not part of what is configured.
impl PartialEq for Faults {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
