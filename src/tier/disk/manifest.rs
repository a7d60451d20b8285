//! `MANIFEST`: which epoch and which version of the format the segments are of, in two slots with a checksum each. It is
//! also what a process locks, so that no second one uses the directory.

use std::fs::File;
use std::io;

use super::files::{Files, write_all};
use super::segment::VERSION;
use crate::tier::octets::Reader;

/// Octets of a slot. Each has a page of its own.
const SLOT: usize = 48;
const PAGE: u64 = 4096;

const MAGIC: [u8; 8] = *b"Bookend\n";

/// What a manifest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// There is none, or none that is whole.
    Nothing,
    /// Another version of the format.
    Version(u32),
    Epoch([u8; 16]),
}

/// Reads the later of the two slots that is whole.
pub fn read(files: &dyn Files, file: &File) -> io::Result<Found> {
    let mut latest = (0, Found::Nothing);
    for slot in 0..2 {
        let mut octets = [0; SLOT];
        let read = files.read(file, &mut octets, slot * PAGE)?;
        if let Some(found) = read_slot(&octets[..read])
            && found.0 > latest.0
        {
            latest = found;
        }
    }
    Ok(latest.1)
}

/// A slot's number in order, and what it says.
fn read_slot(octets: &[u8]) -> Option<(u64, Found)> {
    let mut reader = Reader(octets);
    let covered = reader.take(SLOT - 8)?;
    let sum = reader.u64()?;
    let mut reader = Reader(covered);
    if reader.octets()? != MAGIC || sum != self::sum(covered) {
        return None;
    }
    let (version, _zeros, number) = (reader.u32()?, reader.u32()?, reader.u64()?);
    let found = match version {
        VERSION => Found::Epoch(reader.octets()?),
        other => Found::Version(other),
    };
    Some((number, found))
}

/// Writes both slots, one after the other: one of them is whole at any time.
pub fn write(files: &dyn Files, file: &File, epoch: &[u8; 16]) -> io::Result<()> {
    let mut latest = 0;
    for slot in 0..2 {
        let mut octets = [0; SLOT];
        let read = files.read(file, &mut octets, slot * PAGE)?;
        latest = latest.max(read_slot(&octets[..read]).map_or(0, |(number, _)| number));
    }
    for number in [latest + 1, latest + 2] {
        let mut slot = Vec::with_capacity(SLOT);
        slot.extend_from_slice(&MAGIC);
        slot.extend_from_slice(&VERSION.to_le_bytes());
        slot.extend_from_slice(&[0; 4]);
        slot.extend_from_slice(&number.to_le_bytes());
        slot.extend_from_slice(epoch);
        let sum = sum(&slot);
        slot.extend_from_slice(&sum.to_le_bytes());
        // The one with the lower number first.
        write_all(files, file, &slot, number % 2 * PAGE)?;
    }
    Ok(())
}

fn sum(octets: &[u8]) -> u64 {
    let hash = blake3::hash(octets);
    let first = hash.as_bytes().first_chunk();
    first.map_or(0, |first| u64::from_le_bytes(*first))
}
