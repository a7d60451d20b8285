//! The segment that records are appended to.

use std::io;
use std::sync::Arc;

use super::epoch::Epoch;
use super::files::{Files, write_all};
use super::record::Place;
use super::segment::{Content, HEADER, Segment, Written, footer_length};

/// The segment that is not full yet, and what is to be appended to it.
#[derive(Debug)]
pub struct Active {
    pub segment: Arc<Segment>,
    size: u64,
    /// Where the last record ends that has been written.
    end: u32,
    written: Vec<Written>,
    /// Records that are to be written at `end`.
    buffer: Vec<u8>,
    buffered: Vec<Written>,
}

impl Active {
    /// A segment that is empty.
    pub fn new(segment: Arc<Segment>, size: u64) -> Self {
        let content = Content {
            written: Vec::new(),
            end: HEADER,
            is_sealed: false,
        };
        Self::resume(segment, size, content)
    }

    /// A segment that has room behind what is in it.
    pub fn resume(segment: Arc<Segment>, size: u64, content: Content) -> Self {
        Self {
            segment,
            size,
            end: content.end,
            written: content.written,
            buffer: Vec::new(),
            buffered: Vec::new(),
        }
    }

    /// Whether a record of so many octets, and the footer, find room.
    pub fn has_room(&self, length: u64) -> bool {
        let records = self.written.len() + self.buffered.len() + 1;
        let end = u64::from(self.end) + self.buffer.len() as u64;
        end + length + footer_length(records) <= self.size
    }

    /// Where the next record will be.
    pub fn next(&self) -> Place {
        let buffered = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        Place {
            segment: self.segment.id,
            offset: self.end.saturating_add(buffered),
        }
    }

    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Has `write` append a record to the buffer.
    pub fn append(&mut self, written: Written, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.buffer);
        self.buffered.push(written);
    }

    /// Writes what is buffered. When that fails, it is as if it had never been there.
    pub fn write(&mut self, files: &dyn Files) -> io::Result<Vec<Written>> {
        let result = write_all(files, &self.segment.file, &self.buffer, self.end.into());
        let length = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        self.buffer.clear();
        // One large record must not hold its memory for ever.
        self.buffer.shrink_to(2 * 1024 * 1024);
        let buffered = std::mem::take(&mut self.buffered);
        result?;
        self.end = self.end.saturating_add(length);
        self.written.extend_from_slice(&buffered);
        Ok(buffered)
    }

    pub fn seal(self, files: &dyn Files, epoch: &Epoch) -> io::Result<u64> {
        self.segment.seal(files, self.end, &self.written, epoch)?;
        Ok(footer_length(self.written.len()))
    }

    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }
}
