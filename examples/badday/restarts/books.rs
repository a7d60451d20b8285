//! The API of the experiment, and what is known of its books: which version each has, and which the clients know of.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use tokio::time::sleep;

use crate::kit::Random;
use crate::kit::wire::{Head, Wire};

/// The authority of all URLs: the port of a gateway is another one each time.
pub const HOST: &str = "books.example";

const SHELVES: usize = 40;
const TAGS: usize = 60;
const LANGUAGES: [&str; 3] = ["de", "en", "fr"];

/// Octets of a block of a body; each begins with what it belongs to.
const BLOCK: usize = 1024;

/// How the responses of a book may be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For an hour.
    Plain,
    /// For an hour, in three languages.
    Varying,
    /// For a second; it has an ETag.
    Validated,
    /// For an hour, and every third version not at all.
    AtTimes,
    /// Asked for by QUERY.
    Queried,
}

#[derive(Debug)]
struct Book {
    version: Cell<u64>,
    /// The latest that an acknowledged write or purge lets clients expect.
    known: Cell<u64>,
}

/// All books.
#[derive(Debug)]
pub struct Books {
    all: Vec<Book>,
    /// The sums of how popular they are: the n-th is asked for 1/n times as often as the first.
    popular: Vec<f64>,
}

impl Books {
    pub fn new(count: usize) -> Rc<Self> {
        let book = |_| Book {
            version: Cell::new(1),
            known: Cell::new(1),
        };
        let mut sum = 0.0;
        let popular = (1..=count).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Rc::new(Self {
            popular: popular.collect(),
            all: (0..count).map(book).collect(),
        })
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// A book, as often as it is popular.
    pub fn any(&self, random: &mut Random) -> usize {
        let most = self.popular.last().copied().unwrap_or_default();
        let at = random.below(1 << 40) as f64 / (1_u64 << 40) as f64 * most;
        let found = self.popular.partition_point(|sum| *sum < at);
        found.min(self.all.len() - 1)
    }

    pub fn version(&self, book: usize) -> u64 {
        self.all[book].version.get()
    }

    pub fn known(&self, book: usize) -> u64 {
        self.all[book].known.get()
    }

    /// Something that is acknowledged says that the book has this version.
    pub fn learn(&self, book: usize, version: u64) {
        let known = &self.all[book].known;
        known.set(known.get().max(version));
    }

    /// The book changes at its API.
    pub fn change(&self, book: usize) -> u64 {
        let version = &self.all[book].version;
        version.set(version.get() + 1);
        version.get()
    }

    /// All versions of the books for which `is_covered`, as a purge finds them.
    pub fn versions(&self, is_covered: impl Fn(usize) -> bool) -> Vec<(usize, u64)> {
        let covered = (0..self.all.len()).filter(|book| is_covered(*book));
        covered.map(|book| (book, self.version(book))).collect()
    }

    /// Answers a request.
    pub async fn answer(&self, head: &Head, wire: &mut Wire) -> io::Result<()> {
        let (method, target) = head.request();
        let number = target.rsplit('/').next().and_then(|text| text.parse().ok());
        let Some(book) = number.filter(|book| *book < self.all.len()) else {
            return Err(io::Error::other("another target"));
        };
        if method == "PUT" {
            let version = self.change(book);
            let answer =
                format!("HTTP/1.1 200 OK\r\nX-Version: {version}\r\nContent-Length: 0\r\n\r\n");
            return wire.write(answer.as_bytes()).await;
        }
        let version = self.version(book);
        let variant = match kind(book) {
            Kind::Varying => head.field("accept-language").unwrap_or("none").to_owned(),
            Kind::Queried => head.field("x-query").unwrap_or("none").to_owned(),
            _ => "-".to_owned(),
        };
        // Some are slow, so that what was asked for before a write comes after it.
        if book.is_multiple_of(7) {
            sleep(std::time::Duration::from_millis(3)).await;
        }
        let fields = fields(book, version);
        let tag = format!("\"{version}-{variant}\"");
        let is_known = head.field("if-none-match") == Some(&tag);
        if is_known {
            let answer = format!("HTTP/1.1 304 Not Modified\r\n{fields}ETag: {tag}\r\n\r\n");
            return wire.write(answer.as_bytes()).await;
        }
        let body = body(book, version, &variant);
        let etag = match has_etag(book) {
            true => format!("ETag: {tag}\r\n"),
            false => String::new(),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\n{fields}{etag}Content-Length: {}\r\n\r\n",
            body.len()
        );
        wire.write(head.as_bytes()).await?;
        match method {
            "HEAD" => Ok(()),
            _ => wire.write(&body).await,
        }
    }
}

fn fields(book: usize, version: u64) -> String {
    let control = match kind(book) {
        Kind::Validated => "max-age=1",
        Kind::AtTimes if !may_be_stored(book, version) => "no-store",
        _ => "max-age=3600",
    };
    let vary = match kind(book) {
        Kind::Varying => "Vary: Accept-Language\r\n",
        _ => "",
    };
    let tag = tag(book);
    format!("Cache-Control: {control}\r\nCache-Tag: {tag}\r\nX-Version: {version}\r\n{vary}")
}

pub fn kind(book: usize) -> Kind {
    match book % 10 {
        0..4 => Kind::Plain,
        4 | 5 => Kind::Varying,
        6 | 7 => Kind::Validated,
        8 => Kind::AtTimes,
        _ => Kind::Queried,
    }
}

pub fn may_be_stored(book: usize, version: u64) -> bool {
    kind(book) != Kind::AtTimes || !version.is_multiple_of(3)
}

/// Others can only be sent again.
fn has_etag(book: usize) -> bool {
    kind(book) == Kind::Validated || book.is_multiple_of(3)
}

pub fn tag(book: usize) -> String {
    format!("t{}", book % TAGS)
}

pub fn shelf(book: usize) -> String {
    format!("/shelf-{}", book % SHELVES)
}

pub fn target(book: usize) -> String {
    format!("{}/{book}", shelf(book))
}

/// The variant that a request for the book asks for.
pub fn variant(book: usize, random: &mut Random) -> String {
    match kind(book) {
        Kind::Varying => LANGUAGES[random.below(3) as usize].to_owned(),
        Kind::Queried => format!("q{}", random.below(3)),
        _ => "-".to_owned(),
    }
}

/// Most are small, a tenth has up to 300 KB. Each version has another length.
pub fn length(book: usize, version: u64) -> usize {
    let mut random = Random::new(book as u64);
    let most = match random.below(10) {
        0..6 => 2_000,
        6..9 => 30_000,
        _ => 300_000,
    };
    200 + random.below(most) as usize + version as usize
}

/// The content of a version of a book.
pub fn body(book: usize, version: u64, variant: &str) -> Vec<u8> {
    let length = length(book, version);
    let mut body = Vec::with_capacity(length + BLOCK);
    while body.len() < length {
        let block = format!("{book} {version} {variant} {} ", body.len());
        let end = body.len() + BLOCK;
        body.extend_from_slice(block.as_bytes());
        body.resize(end, b'a' + (version % 26) as u8);
    }
    body.truncate(length);
    body
}

/// The book, the version and the variant that the content names; `None` where it names none.
pub fn claims(body: &[u8]) -> Option<(usize, u64, String)> {
    let text = String::from_utf8_lossy(&body[..body.len().min(60)]);
    let mut words = text.split(' ');
    let (book, version) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((book, version, words.next()?.to_owned()))
}

thread_local! {
    /// What was wrong, of which the first are shown.
    static SHOWN: RefCell<usize> = const { RefCell::new(0) };
}

/// Shows what is wrong, unless there is more of it than anybody reads.
pub fn show(wrong: &str) {
    SHOWN.with_borrow_mut(|shown| {
        *shown += 1;
        if *shown <= 20 {
            eprintln!("{wrong}");
        }
    });
}
