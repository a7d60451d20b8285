//! A folder for what the demo writes, which is removed at its end.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A folder of this user's alone. It is removed, with all in it, when this is dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// A folder that no other user can read, nor has made before.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make() -> io::Result<Self> {
        let all = std::env::temp_dir();
        let mut number = 0;
        loop {
            let folder = all.join(format!("bookend-demo-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(Self(folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // The system clears its folder for such files one day.
        let _ = fs::remove_dir_all(&self.0);
    }
}
