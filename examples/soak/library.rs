//! What there is to ask for, and what a right answer is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Mutex;

use crate::Sabotage;
use crate::kit::Random;

pub const LANGUAGES: [&str; 3] = ["en", "de", "pt"];

/// The books, their versions at the API, and the least that a client may be told.
pub struct Library {
    books: Vec<Book>,
    pub sabotage: Option<Sabotage>,
    pub random: RefCell<Random>,
}

pub struct Book {
    pub id: u64,
    /// Bytes of content.
    pub size: usize,
    /// What the API has now.
    pub version: Cell<u64>,
    /// What the last write that was completed through the gateway made it.
    pub floor: Cell<u64>,
    /// One writer at a time: what a write has made of it must be clear.
    pub writer: Rc<Mutex<()>>,
}

impl Book {
    /// Whether it comes in several languages.
    pub fn varies(&self) -> bool {
        self.id % 4 == 1
    }

    /// Whether it is different for each user.
    pub fn is_personal(&self) -> bool {
        self.id % 16 == 2
    }

    pub fn is_chunked(&self) -> bool {
        self.id % 2 == 1
    }

    /// Whether it comes in chunks of hardly any octets.
    pub fn is_crumbled(&self) -> bool {
        is_crumbled(self.id)
    }

    /// Whether each who asks has to be told by the API itself.
    pub fn is_unstored(&self) -> bool {
        self.id % 32 == 6 || self.id % 64 == 39
    }
}

fn is_crumbled(id: u64) -> bool {
    id % 32 == 7
}

/// Which representation: it makes the entity tag and the content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    pub id: u64,
    pub version: u64,
    pub variant: String,
}

impl Edition {
    pub fn tag(&self) -> String {
        format!("\"{}.{}.{}\"", self.id, self.version, self.variant)
    }

    pub fn of_tag(tag: &str) -> Option<Self> {
        let mut parts = tag.trim_matches('"').split('.');
        Some(Self {
            id: parts.next()?.parse().ok()?,
            version: parts.next()?.parse().ok()?,
            variant: parts.next()?.to_owned(),
        })
    }

    /// The content: other octets for any other edition.
    pub fn content(&self, size: usize) -> Vec<u8> {
        let seed = self.variant.bytes().fold(
            self.id.wrapping_mul(1_000_003) ^ self.version.wrapping_mul(31),
            |sum, octet| sum.wrapping_mul(131).wrapping_add(u64::from(octet)),
        );
        let mut random = Random::new(seed);
        let mut content = Vec::with_capacity(size + 8);
        content.extend_from_slice(self.tag().as_bytes());
        while content.len() < size {
            content.extend_from_slice(&random.next().to_le_bytes());
        }
        content.truncate(size);
        content
    }
}

impl Library {
    pub fn new(books: u64, seed: u64, sabotage: Option<Sabotage>) -> Self {
        let mut random = Random::new(seed);
        let book = |id| {
            let size = match random.below(100) {
                _ if is_crumbled(id) => 64 + random.below(4_000),
                0 => 300_000 + random.below(400_000),
                1..=9 => 40_000 + random.below(80_000),
                _ => 64 + random.below(16_000),
            };
            Book {
                id,
                size: size as usize,
                version: Cell::new(1),
                floor: Cell::new(1),
                writer: Rc::default(),
            }
        };
        Self {
            books: (0..books).map(book).collect(),
            sabotage,
            random: RefCell::new(Random::new(seed ^ 77)),
        }
    }

    pub fn len(&self) -> usize {
        self.books.len()
    }

    pub fn total_bytes(&self) -> usize {
        self.books.iter().map(|book| book.size).sum()
    }

    pub fn book(&self, id: u64) -> Option<&Book> {
        self.books.get(usize::try_from(id).ok()?)
    }

    /// Some are asked for far more often than others.
    pub fn pick(&self, random: &mut Random) -> &Book {
        let share = random.below(1 << 20) as f64 / f64::from(1 << 20);
        let id = (share.powi(4) * self.books.len() as f64) as usize;
        // So that size and kind do not go with the rank.
        &self.books[(id * 1237) % self.books.len()]
    }

    pub fn chance(&self, per_mille: u64) -> bool {
        self.random.borrow_mut().chance(per_mille)
    }

    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.random.borrow_mut().below(n)
    }

    pub fn spoils(&self, what: Sabotage) -> bool {
        self.sabotage == Some(what) && self.chance(20)
    }
}
