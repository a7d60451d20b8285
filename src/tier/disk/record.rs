//! A record as it is in a segment.
//!
//! | octets | what |
//! |---|---|
//! | 84 | the header: what follows and how long it is, and where the record is |
//! | | the target |
//! | | the head |
//! | 8 a block | a checksum of each 64 KiB of the body |
//! | 8 | a checksum of all above |
//! | | the body |
//!
//! So each octet is covered by a checksum, and since the header says in which segment and where the record lies, octets
//! that were meant for another place are none. A *removal* is a header alone: it says that nothing which was written
//! before it under its hash exists any more.

use bytes::Bytes;

use super::epoch::{Epoch, SUM};
use crate::semantics::time::Timestamp;
use crate::tier::Record;
use crate::tier::octets::Reader;

/// Octets of a header.
pub const HEADER: usize = 84;

/// Octets of a body that share a checksum.
const BLOCK: usize = 64 * 1024;

const MAGIC: [u8; 4] = *b"BkR1";

/// Where a record lies. What was written later has the greater place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub segment: u32,
    pub offset: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Response,
    /// What was written before it under its hash does not exist.
    Removal,
}

/// What a record begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub hash: u64,
    pub variant: [u8; 16],
    pub stamp: u64,
    pub stored: Timestamp,
    pub until: Timestamp,
    target: u32,
    head: u32,
    body: u32,
}

impl Kind {
    pub fn to_number(self) -> u8 {
        match self {
            Self::Response => 1,
            Self::Removal => 2,
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Response),
            2 => Some(Self::Removal),
            _ => None,
        }
    }
}

impl Header {
    /// The header of a record; `None` where a part of it is too long for any segment.
    pub fn of(record: &Record, hash: u64) -> Option<Self> {
        let body = record.body.iter().map(Bytes::len).sum::<usize>();
        let header = Self {
            kind: Kind::Response,
            hash,
            variant: record.variant,
            stamp: record.stamp,
            stored: record.stored,
            until: record.until,
            target: record.target.len().try_into().ok()?,
            head: record.head.len().try_into().ok()?,
            body: body.try_into().ok()?,
        };
        Some(header)
    }

    pub fn removal(hash: u64) -> Self {
        Self {
            kind: Kind::Removal,
            hash,
            variant: [0; 16],
            stamp: 0,
            stored: Timestamp::default(),
            until: Timestamp::default(),
            target: 0,
            head: 0,
            body: 0,
        }
    }

    /// Octets of the whole record.
    pub fn length(&self) -> u64 {
        self.before_body() as u64 + u64::from(self.body)
    }

    /// Octets in front of the body.
    fn before_body(&self) -> usize {
        let blocks = (self.body as usize).div_ceil(BLOCK);
        match self.kind {
            Kind::Removal => HEADER,
            Kind::Response => {
                HEADER + self.target as usize + self.head as usize + (blocks + 1) * SUM
            }
        }
    }

    /// Reads the header of the record at `place`; `None` where there is none, or not whole.
    pub fn read(octets: &[u8], place: Place, epoch: &Epoch) -> Option<Self> {
        let mut reader = Reader(octets.get(..HEADER)?);
        let covered = reader.0.get(..HEADER - SUM)?;
        if reader.octets()? != MAGIC {
            return None;
        }
        let [kind, zeros @ ..] = reader.octets::<4>()?;
        let (segment, offset) = (reader.u32()?, reader.u32()?);
        let header = Self {
            kind: Kind::from_number(kind)?,
            hash: reader.u64()?,
            variant: reader.octets()?,
            stamp: reader.u64()?,
            stored: Timestamp::from_millis(reader.u64()?),
            until: Timestamp::from_millis(reader.u64()?),
            target: reader.u32()?,
            head: reader.u32()?,
            body: reader.u32()?,
        };
        let is_whole = zeros == [0; 3]
            && place == Place { segment, offset }
            && reader.u64()? == epoch.sum(covered);
        is_whole.then_some(header)
    }

    /// Appends the header of a record that will be at `place`.
    pub fn write(&self, place: Place, epoch: &Epoch, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[self.kind.to_number(), 0, 0, 0]);
        out.extend_from_slice(&place.segment.to_le_bytes());
        out.extend_from_slice(&place.offset.to_le_bytes());
        out.extend_from_slice(&self.hash.to_le_bytes());
        out.extend_from_slice(&self.variant);
        out.extend_from_slice(&self.stamp.to_le_bytes());
        out.extend_from_slice(&self.stored.as_millis().to_le_bytes());
        out.extend_from_slice(&self.until.as_millis().to_le_bytes());
        out.extend_from_slice(&self.target.to_le_bytes());
        out.extend_from_slice(&self.head.to_le_bytes());
        out.extend_from_slice(&self.body.to_le_bytes());
        let sum = epoch.sum(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Whether the octets in front of the body are what was written.
    fn verify_front(&self, octets: &[u8], epoch: &Epoch) -> bool {
        if self.kind == Kind::Removal {
            return true;
        }
        let Some(front) = octets.get(..self.before_body()) else {
            return false;
        };
        let (covered, sum) = front.split_at(front.len() - SUM);
        *sum == epoch.sum(covered).to_le_bytes()
    }

    /// Whether all octets of the record are what was written. `octets` begin with the header.
    pub fn verify(&self, octets: &[u8], epoch: &Epoch) -> bool {
        if !self.verify_front(octets, epoch) {
            return false;
        }
        let front = self.before_body();
        let Some(body) = octets.get(front..front + self.body as usize) else {
            return false;
        };
        let blocks = body.chunks(BLOCK);
        let sums = &octets[..front.saturating_sub(SUM)];
        let sums = &sums[sums.len() - blocks.len() * SUM..];
        sums.chunks(SUM)
            .zip(blocks)
            .all(|(sum, block)| *sum == epoch.sum(block).to_le_bytes())
    }
}

/// Appends a record that will be at `place`.
pub fn write(record: &Record, header: &Header, place: Place, epoch: &Epoch, out: &mut Vec<u8>) {
    let start = out.len();
    header.write(place, epoch, out);
    out.extend_from_slice(record.target.as_bytes());
    out.extend_from_slice(&record.head);
    write_sums(&record.body, epoch, out);
    let sum = epoch.sum(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
    for piece in &record.body {
        out.extend_from_slice(piece);
    }
}

/// Appends the checksum of each block of a body in pieces.
fn write_sums(body: &[Bytes], epoch: &Epoch, out: &mut Vec<u8>) {
    let mut block: Vec<&[u8]> = Vec::new();
    let mut room = BLOCK;
    for piece in body {
        let mut rest: &[u8] = piece;
        while !rest.is_empty() {
            let (taken, left) = rest.split_at(rest.len().min(room));
            block.push(taken);
            room -= taken.len();
            rest = left;
            if room == 0 {
                out.extend_from_slice(&epoch.sum_of(block.drain(..)).to_le_bytes());
                room = BLOCK;
            }
        }
    }
    if !block.is_empty() {
        out.extend_from_slice(&epoch.sum_of(block).to_le_bytes());
    }
}

/// Why octets are not the response that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// They are not what was written.
    Corrupt,
    /// They are a response of another target, whose hash is the same.
    OtherTarget,
}

/// The response that was written at `place`, if it is one of `target`.
pub fn read(octets: Vec<u8>, place: Place, target: &str, epoch: &Epoch) -> Result<Record, Unfit> {
    let header = Header::read(&octets, place, epoch).ok_or(Unfit::Corrupt)?;
    let is_whole = header.kind == Kind::Response
        && octets.len() as u64 == header.length()
        && header.verify(&octets, epoch);
    if !is_whole {
        return Err(Unfit::Corrupt);
    }
    let target_ends = HEADER + header.target as usize;
    if octets[HEADER..target_ends] != *target.as_bytes() {
        return Err(Unfit::OtherTarget);
    }
    let front = header.before_body();
    let octets = Bytes::from(octets);
    let body = octets.slice(front..);
    Ok(Record {
        target: target.into(),
        variant: header.variant,
        stamp: header.stamp,
        stored: header.stored,
        until: header.until,
        head: octets.slice(target_ends..target_ends + header.head as usize),
        body: if body.is_empty() {
            Vec::new()
        } else {
            vec![body]
        },
    })
}

/// Rewrites a response so that it can be written at another place. The body is not looked at: its checksums move with it.
/// False when what precedes it is not what was written.
pub fn relocate(octets: &mut [u8], from: Place, to: Place, epoch: &Epoch) -> bool {
    let Some(header) = Header::read(octets, from, epoch) else {
        return false;
    };
    if header.length() != octets.len() as u64 || !header.verify_front(octets, epoch) {
        return false;
    }
    let mut moved = Vec::with_capacity(HEADER);
    header.write(to, epoch, &mut moved);
    octets[..HEADER].copy_from_slice(&moved);
    let front = header.before_body();
    let sum = epoch.sum(&octets[..front - SUM]);
    octets[front - SUM..front].copy_from_slice(&sum.to_le_bytes());
    true
}
