//! `[disk]`: where responses are kept beyond this process.

use std::path::PathBuf;

use super::readers::{flag, path, size};
use super::section::Section;
use crate::faults::Faults;

/// The disk tier's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    /// A directory of its own; it is made where there is none.
    pub path: PathBuf,
    /// Bytes of what is stored there.
    pub size: u64,
    /// Bytes of memory for the index of what is stored there.
    pub index_memory: u64,
    /// Whether an invalidation is synced to the device before it is acknowledged.
    pub sync: bool,
    /// Of its files; none but in tests.
    pub faults: Faults,
}

impl Disk {
    /// `None` where it is off, since it has no path.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut at = None;
        let mut disk = Self::at(PathBuf::new());
        section.set("path", &mut at, |value| Some(Some(path(value)?)));
        section.set("size", &mut disk.size, size(16 << 20..=1 << 50));
        let memory = &mut disk.index_memory;
        section.set("index_memory", memory, size(1 << 20..=1 << 40));
        section.set("sync", &mut disk.sync, flag);
        disk.path = at?;
        Some(disk)
    }

    /// The defaults, in this directory.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            size: 1 << 30,
            index_memory: 16 << 20,
            sync: false,
            faults: Faults::default(),
        }
    }
}
