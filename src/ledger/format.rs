//! The octets of the ledger's file. All numbers are little-endian.
//!
//! ```text
//!   0  header: "BKLEDGER", version (4), nothing (4), epoch (16), key of the hashes (32), checksum (8)
//! 128  slot A: counter (8), end (8), sequence (8), floor (8), boot id (16), flags (4), nothing (4), checksum (8)
//! 192  slot B
//! 256  records: length of what follows (4), kind (1), content, checksum (8)
//! ```
//!
//! The slots are written by turns; the one with the higher counter counts. `end` is where the records end that were acknowledged:
//! what is damaged or missing before it has been lost, what is torn after it never counted.

use super::index::{Index, Kind, Numbers, Recorded, Secret, Snapshot};
use super::invalidation::Strength;

const MAGIC: &[u8; 8] = b"BKLEDGER";
const VERSION: u32 = 1;
const CHECKSUM: usize = 8;
const HEADER: usize = 72;
pub(super) const SLOTS: [u64; 2] = [128, 192];
const SLOT: usize = 64;
pub(super) const RECORDS: u64 = 256;

const INVALIDATION: u8 = 1;
const ENTRIES: u8 = 2;
const LATEST: u8 = 3;

/// Entries of an index in one record.
const ENTRIES_EACH: usize = 4096;
pub(super) const ENTRY: usize = 24;

const FLAG_CLEAN: u32 = 1;
const FLAG_SYNC: u32 = 2;

/// What a file says of itself, beside its records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) counter: u64,
    /// Where the records end that were acknowledged, in octets from the file's beginning.
    pub(super) end: u64,
    /// The number of the latest invalidation, or one that is higher.
    pub(super) sequence: u64,
    /// No record below it may be used without validation.
    pub(super) floor: u64,
    /// The kernel's name for its run, of the process that wrote this.
    pub(super) boot: [u8; 16],
    /// It was shut down, and nothing was lost.
    pub(super) is_clean: bool,
    /// What was acknowledged was on the device.
    pub(super) is_synced: bool,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) epoch: [u8; 16],
    pub(super) index: Index,
    pub(super) slot: Slot,
    /// Invalidations that were read one by one.
    pub(super) count: u64,
    /// Where the last whole record ends.
    pub(super) end: u64,
}

fn checksum(secret: &Secret, at: u64, octets: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new_keyed(&secret.0);
    // A record that was moved is none.
    hasher.update(&at.to_le_bytes()).update(octets);
    let mut first = [0; CHECKSUM];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM]);
    first
}

/// The key of the header's own checksum, since the header holds the other one.
const NO_SECRET: Secret = Secret([0; 32]);

/// What comes before the records.
pub(super) fn header(epoch: &[u8; 16], secret: &Secret, slot: &Slot) -> Vec<u8> {
    let mut octets = Vec::with_capacity(RECORDS as usize);
    octets.extend_from_slice(MAGIC);
    octets.extend_from_slice(&VERSION.to_le_bytes());
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(epoch);
    octets.extend_from_slice(&secret.0);
    let sum = checksum(&NO_SECRET, 0, &octets);
    octets.extend_from_slice(&sum);
    octets.resize(RECORDS as usize, 0);
    let at = slot.place() as usize;
    octets[at..at + SLOT].copy_from_slice(&slot.encode(secret));
    octets
}

impl Slot {
    /// Where it is written.
    pub(super) fn place(&self) -> u64 {
        SLOTS[(self.counter % 2) as usize]
    }

    pub(super) fn encode(&self, secret: &Secret) -> Vec<u8> {
        let clean = if self.is_clean { FLAG_CLEAN } else { 0 };
        let synced = if self.is_synced { FLAG_SYNC } else { 0 };
        let mut octets = Vec::with_capacity(SLOT);
        for number in [self.counter, self.end, self.sequence, self.floor] {
            octets.extend_from_slice(&number.to_le_bytes());
        }
        octets.extend_from_slice(&self.boot);
        octets.extend_from_slice(&(clean | synced).to_le_bytes());
        octets.extend_from_slice(&[0; 4]);
        let sum = checksum(secret, self.place(), &octets);
        octets.extend_from_slice(&sum);
        octets
    }

    /// `None` where it was damaged or never written.
    fn decode(file: &[u8], at: u64, secret: &Secret) -> Option<Self> {
        let octets = file.get(at as usize..at as usize + SLOT)?;
        let (content, sum) = octets.split_at(SLOT - CHECKSUM);
        if checksum(secret, at, content) != sum {
            return None;
        }
        let mut fields = Fields(content);
        let [counter, end, sequence, floor] =
            [fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?];
        let boot = fields.take()?;
        let flags = u32::from_le_bytes(fields.take()?);
        Some(Self {
            counter,
            end,
            sequence,
            floor,
            boot,
            is_clean: flags & FLAG_CLEAN != 0,
            is_synced: flags & FLAG_SYNC != 0,
        })
    }
}

/// The record of an invalidation, to be written at `at`.
pub(super) fn invalidation(
    secret: &Secret,
    at: u64,
    number: u64,
    strength: Strength,
    recorded: &[Recorded],
) -> Vec<u8> {
    let mut content = vec![INVALIDATION];
    content.extend_from_slice(&number.to_le_bytes());
    content.push(strength as u8);
    for Recorded { kind, hash } in recorded {
        content.push(*kind as u8);
        content.extend_from_slice(&hash.to_le_bytes());
    }
    record(secret, at, &content)
}

/// The records of a whole index, to be written from `at` on.
pub(super) fn index(index: &Snapshot, at: u64) -> Vec<u8> {
    let mut content = vec![LATEST];
    for number in index.latest {
        content.extend_from_slice(&number.to_le_bytes());
    }
    let mut octets = record(&index.secret, at, &content);
    for entries in index.entries.chunks(ENTRIES_EACH) {
        let mut content = vec![ENTRIES];
        for (hash, numbers) in entries {
            for number in [*hash, numbers.hard, numbers.soft] {
                content.extend_from_slice(&number.to_le_bytes());
            }
        }
        let place = at + octets.len() as u64;
        octets.extend(record(&index.secret, place, &content));
    }
    octets
}

fn record(secret: &Secret, at: u64, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + CHECKSUM).unwrap_or(u32::MAX);
    let mut octets = length.to_le_bytes().to_vec();
    octets.extend_from_slice(content);
    let sum = checksum(secret, at, &octets);
    octets.extend_from_slice(&sum);
    octets
}

/// Reads a file, up to the first record that is not whole. Fails with what is wrong where it is not even known what it is.
pub(super) fn read(file: &[u8], limit: usize) -> Result<Content, String> {
    let before_records = file.get(..RECORDS as usize).ok_or("it is too short")?;
    let header = &before_records[..HEADER];
    let mut fields = Fields(header);
    let (magic, version) = (fields.take(), fields.take());
    if magic != Some(*MAGIC) {
        return Err("it is no ledger".to_owned());
    }
    let version = version.map_or(0, u32::from_le_bytes);
    if version != VERSION {
        return Err(format!(
            "its format has version {version}, and {VERSION} is known"
        ));
    }
    let (content, sum) = header.split_at(HEADER - CHECKSUM);
    if checksum(&NO_SECRET, 0, content) != sum {
        return Err("its header is damaged".to_owned());
    }
    let (_, epoch, secret) = (fields.take::<4>(), fields.take(), fields.take());
    let (Some(epoch), Some(secret)) = (epoch, secret.map(Secret)) else {
        return Err("it is too short".to_owned());
    };
    let slots = SLOTS.map(|at| Slot::decode(file, at, &secret));
    let slot = slots.into_iter().flatten().max_by_key(|slot| slot.counter);
    let slot = slot.ok_or("its state is damaged")?;
    let mut content = Content {
        epoch,
        index: Index::new(secret, limit),
        slot,
        count: 0,
        end: RECORDS,
    };
    let mut number = 0;
    while let Some(length) = content.read_record(file, &mut number) {
        content.end += length;
    }
    content.slot.sequence = content.slot.sequence.max(number);
    content.index.raise_floor(slot.floor);
    Ok(content)
}

impl Content {
    /// Reads the record at the end of those that were read, and gives its length; `None` where there is no whole one. `number` is
    /// that of the latest invalidation so far.
    fn read_record(&mut self, file: &[u8], number: &mut u64) -> Option<u64> {
        let rest = file.get(usize::try_from(self.end).ok()?..)?;
        let length = u32::from_le_bytes(Fields(rest).take()?) as usize;
        let octets = rest.get(..4 + length)?;
        let (content, sum) = octets.split_at_checked(octets.len().checked_sub(CHECKSUM)?)?;
        if checksum(&self.index.secret, self.end, content) != sum {
            return None;
        }
        let mut fields = Fields(content.get(4..)?);
        match fields.take()? {
            [INVALIDATION] => {
                let next = fields.u64()?;
                let strength = match fields.take()? {
                    [octet] if octet == Strength::Soft as u8 => Strength::Soft,
                    [octet] if octet == Strength::Hard as u8 => Strength::Hard,
                    _ => return None,
                };
                let mut recorded = Vec::with_capacity(fields.0.len() / 9);
                while let Some([kind]) = fields.take() {
                    let (kind, hash) = (Kind::from_octet(kind)?, fields.u64()?);
                    recorded.push(Recorded { kind, hash });
                }
                if next <= *number {
                    return None;
                }
                *number = next;
                self.index.apply(next, strength, &recorded);
                self.count += 1;
            }
            [ENTRIES] => {
                let mut entries = Vec::with_capacity(fields.0.len() / ENTRY);
                while let Some(hash) = fields.u64() {
                    let (hard, soft) = (fields.u64()?, fields.u64()?);
                    entries.push((hash, Numbers { hard, soft }));
                }
                self.index.merge(entries, [0; Kind::COUNT]);
                self.index.trim();
            }
            [LATEST] => {
                let mut latest = [0; Kind::COUNT];
                for number in &mut latest {
                    *number = fields.u64()?;
                }
                self.index.merge([], latest);
            }
            _ => return None,
        }
        Some(octets.len() as u64)
    }
}

/// Fields of fixed length, from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// `None` where too few octets are left.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
