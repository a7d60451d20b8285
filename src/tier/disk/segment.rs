//! A segment: a file to which records are appended, until it is full and *sealed* with a footer.
//!
//! It begins with a header of 48 octets, which names the format's version, the segment and the epoch. The footer lists
//! what was written, 32 octets each, and ends with the file, so that a sealed segment is loaded without reading its
//! records. One without a footer, or with one that fails its checksum, is read record by record until the first that is
//! not whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::epoch::{Epoch, SUM};
use super::files::{Files, write_all};
use super::index::{Entry, seconds, short};
use super::record::{HEADER as RECORD_HEADER, Header, Kind, Place};
use crate::tier::octets::Reader;

/// Changes with anything that is written. Files of another version are not read.
pub const VERSION: u32 = 1;

/// Octets in front of the first record.
pub const HEADER: u32 = 48;

/// Octets of one entry of the footer, and of the footer's end.
const LINE: u64 = 32;
const END: u64 = 48;

const MAGIC: [u8; 8] = *b"BkndSeg\n";
const END_MAGIC: [u8; 8] = *b"BkndEnd\n";

/// How much of a segment is read at once when its records are looked for.
const WINDOW: usize = 1024 * 1024;

/// A file of records.
#[derive(Debug)]
pub struct Segment {
    pub id: u32,
    pub path: PathBuf,
    pub file: File,
    /// Bytes that the file takes on disk.
    bytes: AtomicU64,
}

/// What the footer says of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub kind: Kind,
    pub hash: u64,
    /// The first half of the variant's digest.
    pub variant: u64,
    pub offset: u32,
    pub length: u32,
    /// Seconds since the Unix epoch, rounded up.
    pub until: u32,
}

impl Written {
    pub fn new(header: &Header, offset: u32) -> Self {
        Self {
            kind: header.kind,
            hash: header.hash,
            variant: short(&header.variant),
            offset,
            length: u32::try_from(header.length()).unwrap_or(u32::MAX),
            until: seconds(header.until),
        }
    }

    /// As the index has it.
    pub fn entry(&self, segment: u32) -> Entry {
        let place = Place {
            segment,
            offset: self.offset,
        };
        Entry::new(self.hash, self.variant, place, self.length, self.until)
    }
}

/// What is in a segment.
#[derive(Debug)]
pub struct Content {
    /// In the order in which it was written.
    pub written: Vec<Written>,
    /// Where the last record ends.
    pub end: u32,
    /// It has a footer.
    pub is_sealed: bool,
}

/// The number of the segment that a file is, by its name.
pub fn number(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix("seg-")?;
    let is_name = digits.len() == 8 && digits.bytes().all(|c| c.is_ascii_hexdigit());
    let number = is_name.then(|| u32::from_str_radix(digits, 16).ok())?;
    number.filter(|number| name(*number).ends_with(digits))
}

fn name(number: u32) -> String {
    format!("seg-{number:08x}")
}

/// Octets that a segment needs for its footer.
pub fn footer_length(records: usize) -> u64 {
    records as u64 * LINE + END
}

impl Segment {
    /// Makes a segment of `size` bytes.
    pub fn create(
        files: &dyn Files,
        folder: &Path,
        id: u32,
        size: u64,
        epoch: &Epoch,
    ) -> io::Result<Self> {
        let path = folder.join(name(id));
        let file = files.create(&path)?;
        let mut header = Vec::with_capacity(HEADER as usize);
        write_header(id, epoch, &mut header);
        let made = (files.allocate(&file, size)).and_then(|()| write_all(files, &file, &header, 0));
        if let Err(error) = made {
            // It would be an empty one at the next start.
            let _ = files.remove(&path);
            return Err(error);
        }
        Ok(Self {
            id,
            path,
            file,
            bytes: AtomicU64::new(size),
        })
    }

    /// Opens a segment that is there; `None` where it is of another epoch or version.
    pub fn open(
        files: &dyn Files,
        path: &Path,
        id: u32,
        epoch: &Epoch,
    ) -> io::Result<Option<Self>> {
        let file = files.open(path)?;
        let mut header = [0; HEADER as usize];
        let read = files.read(&file, &mut header, 0)?;
        let mut expected = Vec::with_capacity(HEADER as usize);
        write_header(id, epoch, &mut expected);
        if header[..read] != *expected {
            return Ok(None);
        }
        let bytes = AtomicU64::new(files.length(&file)?);
        let path = path.to_owned();
        Ok(Some(Self {
            id,
            path,
            file,
            bytes,
        }))
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Appends the footer, where the last record ends, and gives back the room behind it.
    pub fn seal(
        &self,
        files: &dyn Files,
        end: u32,
        written: &[Written],
        epoch: &Epoch,
    ) -> io::Result<()> {
        let mut footer = Vec::new();
        for it in written {
            footer.extend_from_slice(&it.hash.to_le_bytes());
            footer.extend_from_slice(&it.variant.to_le_bytes());
            footer.extend_from_slice(&it.offset.to_le_bytes());
            footer.extend_from_slice(&it.length.to_le_bytes());
            footer.extend_from_slice(&it.until.to_le_bytes());
            footer.extend_from_slice(&[it.kind.to_number(), 0, 0, 0]);
        }
        let entries = epoch.sum(&footer);
        let start = footer.len();
        footer.extend_from_slice(&END_MAGIC);
        footer.extend_from_slice(&self.id.to_le_bytes());
        footer.extend_from_slice(&end.to_le_bytes());
        footer.extend_from_slice(&(written.len() as u64).to_le_bytes());
        footer.extend_from_slice(&entries.to_le_bytes());
        footer.extend_from_slice(&[0; 8]);
        let sum = epoch.sum(&footer[start..]);
        footer.extend_from_slice(&sum.to_le_bytes());
        let length = u64::from(end) + footer.len() as u64;
        write_all(files, &self.file, &footer, end.into())?;
        files.truncate(&self.file, length)?;
        self.bytes.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// Makes room for more records behind the last one; a footer is removed.
    pub fn reopen(&self, files: &dyn Files, end: u32, size: u64) -> io::Result<()> {
        files.truncate(&self.file, end.into())?;
        self.bytes.store(end.into(), Ordering::Relaxed);
        files.allocate(&self.file, size)?;
        self.bytes.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// What is in it: by its footer, else by its records.
    pub fn content(&self, files: &dyn Files, epoch: &Epoch) -> io::Result<Content> {
        match self.footer(files, epoch)? {
            Some(content) => Ok(content),
            None => self.scan(files, epoch),
        }
    }

    fn footer(&self, files: &dyn Files, epoch: &Epoch) -> io::Result<Option<Content>> {
        let length = files.length(&self.file)?;
        let Some(starts) = length.checked_sub(END) else {
            return Ok(None);
        };
        let mut last = [0; END as usize];
        let read = files.read(&self.file, &mut last, starts)?;
        let Some((end, records, sum)) = self.read_end(&last[..read], epoch) else {
            return Ok(None);
        };
        let octets = records.saturating_mul(LINE);
        if u64::from(end).saturating_add(octets).saturating_add(END) != length {
            return Ok(None);
        }
        // No more than the file has.
        let mut entries = vec![0; usize::try_from(octets).unwrap_or_default()];
        let read = files.read(&self.file, &mut entries, end.into())?;
        if read != entries.len() || epoch.sum(&entries) != sum {
            return Ok(None);
        }
        let written = entries.chunks(LINE as usize).map(read_entry);
        Ok(written.collect::<Option<_>>().map(|written| Content {
            written,
            end,
            is_sealed: true,
        }))
    }

    /// Where the records end, how many there are, and the checksum of the list of them.
    fn read_end(&self, octets: &[u8], epoch: &Epoch) -> Option<(u32, u64, u64)> {
        let covered = octets.get(..END as usize - SUM)?;
        let mut reader = Reader(octets);
        let is_magic = reader.octets()? == END_MAGIC;
        let (id, end, records, entries) =
            (reader.u32()?, reader.u32()?, reader.u64()?, reader.u64()?);
        let zeros = reader.octets::<8>()?;
        let is_whole =
            is_magic && id == self.id && zeros == [0; 8] && reader.u64()? == epoch.sum(covered);
        is_whole.then_some((end, records, entries))
    }

    /// Reads record by record, until the first that is not whole.
    fn scan(&self, files: &dyn Files, epoch: &Epoch) -> io::Result<Content> {
        let room = files.length(&self.file)?;
        let (mut written, mut end) = (Vec::new(), HEADER);
        let (mut window, mut starts) = (Vec::new(), u64::from(HEADER));
        // Octets of the record at `end`, from the window, which is read anew where it does not have them.
        let mut at = |end: u32, length: usize| -> io::Result<Vec<u8>> {
            let from = usize::try_from(u64::from(end) - starts).unwrap_or(usize::MAX);
            let until = from.saturating_add(length);
            if until > window.len() {
                starts = u64::from(end);
                let left = usize::try_from(room.saturating_sub(starts)).unwrap_or(usize::MAX);
                window.resize(WINDOW.max(length).min(left), 0);
                let read = files.read(&self.file, &mut window, starts)?;
                window.truncate(read);
                return Ok(window[..length.min(read)].to_vec());
            }
            Ok(window[from..until].to_vec())
        };
        loop {
            let place = Place {
                segment: self.id,
                offset: end,
            };
            let Some(header) = Header::read(&at(end, RECORD_HEADER)?, place, epoch) else {
                break;
            };
            let next = u64::from(end) + header.length();
            let Ok(after) = u32::try_from(next) else {
                break;
            };
            let length = usize::try_from(header.length()).unwrap_or(usize::MAX);
            if next > room || !header.verify(&at(end, length)?, epoch) {
                break;
            }
            written.push(Written::new(&header, end));
            end = after;
        }
        Ok(Content {
            written,
            end,
            is_sealed: false,
        })
    }
}

fn write_header(id: u32, epoch: &Epoch, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(epoch.octets());
    out.extend_from_slice(&[0; 8]);
    let sum = epoch.sum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

fn read_entry(octets: &[u8]) -> Option<Written> {
    let mut reader = Reader(octets);
    let (hash, variant) = (reader.u64()?, reader.u64()?);
    let (offset, length, until) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let [kind, ..] = reader.octets::<4>()?;
    Some(Written {
        kind: Kind::from_number(kind)?,
        hash,
        variant,
        offset,
        length,
        until,
    })
}
