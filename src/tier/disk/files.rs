//! The operations on files that the tier consists of, in one place, so that tests can make each of them fail.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::faults::{Fate, Faults, Operation};

/// A symbolic link is no file of the tier's.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Operations on files.
pub trait Files: Send + Sync + fmt::Debug {
    /// The files in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Opens a file for reading and writing; makes it, for nobody else to read, where it is not there.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Makes an empty file. One that is there is what an attempt has left that failed.
    fn create(&self, path: &Path) -> io::Result<File>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn length(&self, file: &File) -> io::Result<u64>;
    /// Reserves room for a file up to `length`. What had not been written reads as zeros.
    fn allocate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Cuts a file off at `length`.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()>;
    /// Reads until the buffer is full or the file ends; gives the octets read.
    fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// The same from memory, without waiting for the device. Fails with [`io::ErrorKind::WouldBlock`] where that cannot be
    /// done, and may read less than there is.
    fn read_cached(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the octets, at least one.
    fn write(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize>;
}

/// Writes all octets.
pub fn write_all(files: &dyn Files, file: &File, octets: &[u8], offset: u64) -> io::Result<()> {
    let mut written = 0;
    while written < octets.len() {
        match files.write(file, &octets[written..], offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The operating system's.
#[derive(Debug)]
pub struct System;

impl Files for System {
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).custom_flags(NOFOLLOW).open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        options.mode(0o600).custom_flags(NOFOLLOW).open(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn allocate(&self, file: &File, length: u64) -> io::Result<()> {
        match system::allocate(file, length) {
            // Some file systems cannot reserve room: there, it turns out when it is written.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => file.set_len(length),
            result => result,
        }
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_cached(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        system::read_cached(file, buffer, offset)
    }

    fn write(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(octets, offset)
    }
}

/// The operating system's, with faults that a test decides about.
#[derive(Debug)]
pub struct Faulty(pub Faults);

impl Files for Faulty {
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        System.list(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        System.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.0.check(Operation::DiskMake)?;
        System.create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        System.remove(path)
    }

    fn length(&self, file: &File) -> io::Result<u64> {
        System.length(file)
    }

    fn allocate(&self, file: &File, length: u64) -> io::Result<()> {
        self.0.check(Operation::DiskMake)?;
        System.allocate(file, length)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        System.truncate(file, length)
    }

    fn read(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.length_of(Operation::DiskRead, buffer.len())?;
        System.read(file, &mut buffer[..length], offset)
    }

    fn read_cached(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.length_of(Operation::DiskRead, buffer.len())?;
        System.read_cached(file, &mut buffer[..length], offset)
    }

    fn write(&self, file: &File, octets: &[u8], offset: u64) -> io::Result<usize> {
        let length = self.length_of(Operation::DiskWrite, octets.len())?;
        System.write(file, &octets[..length], offset)
    }
}

impl Faulty {
    /// How many octets are read or written of so many.
    fn length_of(&self, operation: Operation, length: usize) -> io::Result<usize> {
        match self.0.of(operation) {
            Fate::Done => Ok(length),
            Fate::Short => Ok(length.div_ceil(2)),
            Fate::Fails(number) => Err(io::Error::from_raw_os_error(number)),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::{self, IoSliceMut};

    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::{ReadWriteFlags, preadv2};

    pub fn allocate(file: &File, length: u64) -> io::Result<()> {
        Ok(fallocate(file, FallocateFlags::empty(), 0, length)?)
    }

    pub fn read_cached(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut buffers = [IoSliceMut::new(buffer)];
        Ok(preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::fs::File;
    use std::io;

    pub fn allocate(file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    pub fn read_cached(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
