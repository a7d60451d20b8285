//! Files of many sizes behind origins that handle ranges in their own ways, and what an answer about one must be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::common::{Answer, Conn, Gateway, Origin, Reply, Request, reply};

/// How an origin handles ranges, and what it says of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sends what is asked for, of files with a strong entity tag.
    Plain,
    /// With the Last-Modified date alone.
    Dated,
    /// With a weak entity tag, which identifies no octets.
    Weak,
    /// Without any validator.
    Bare,
    /// Ignores Range.
    Whole,
    /// Sends at most 700 octets of what is asked for (RFC 9110 §15.3.7).
    Short,
    /// In chunks: the length of the whole is not declared.
    Chunked,
    /// Not to be stored.
    Private,
    /// Ignores If-Range.
    Heedless,
}

pub const KINDS: [Kind; 9] = [
    Kind::Plain,
    Kind::Dated,
    Kind::Weak,
    Kind::Bare,
    Kind::Whole,
    Kind::Short,
    Kind::Chunked,
    Kind::Private,
    Kind::Heedless,
];

/// The most that the routes `/4/…` and `/64/…` store of a response.
pub const LIMITS: [usize; 2] = [4 << 10, 64 << 10];

const SHORT: usize = 700;

/// One file: `/limit/kind/size/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub limit: usize,
    pub kind: Kind,
    pub size: usize,
    pub name: String,
}

impl File {
    pub fn path(&self) -> String {
        let limit = self.limit >> 10;
        let kind = KINDS.iter().position(|kind| *kind == self.kind);
        format!("/{limit}/{}/{}/{}", kind.unwrap(), self.size, self.name)
    }

    fn of(path: &str) -> Self {
        let mut parts = path.split('/').skip(1);
        let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
        Self {
            limit: number() << 10,
            kind: KINDS[number()],
            size: number(),
            name: path.rsplit('/').next().unwrap().to_owned(),
        }
    }

    pub fn content(&self, version: usize) -> Vec<u8> {
        let octet = |at: usize| (at * 7 + at / 256 * 31 + version * 101) as u8;
        (0..self.size).map(octet).collect()
    }

    /// What If-None-Match and If-Range may name of that version.
    pub fn validator(&self, version: usize) -> String {
        match self.kind {
            Kind::Dated => date(version),
            Kind::Weak => format!("W/\"{version}\""),
            _ => format!("\"{version}\""),
        }
    }

    /// Which version an answer is of, by its content.
    fn version_of(&self, answer: &Answer, versions: usize) -> Option<usize> {
        let fits = |version: &usize| self.is_part_of(answer, *version);
        (0..=versions).rev().find(fits)
    }

    fn is_part_of(&self, answer: &Answer, version: usize) -> bool {
        let whole = self.content(version);
        match answer.status {
            200 => answer.body == whole,
            206 => parts_of(answer).is_some_and(|parts| {
                parts.iter().all(|(first, last, size, octets)| {
                    *size == whole.len() && whole.get(*first..=*last) == Some(&octets[..])
                })
            }),
            _ => false,
        }
    }

    /// Checks that an answer to a GET with this Range is one that the origin could have given itself.
    pub fn check(
        &self,
        range: Option<&str>,
        answer: &Answer,
        versions: usize,
    ) -> Result<(), String> {
        let brief = || {
            let told = answer.field("content-range");
            let (status, got) = (answer.status, answer.body.len());
            format!(
                "{self:?} {range:?}: {status} {told:?} with {got} octets, {}",
                answer.cache_status()
            )
        };
        let wanted = range.map(|range| wanted(range, self.size));
        if answer.status == 416 {
            let whole = format!("bytes */{}", self.size);
            let right =
                wanted == Some(Wanted::Nothing) && answer.field("content-range") == Some(&whole);
            return right.then_some(()).ok_or_else(brief);
        }
        if self.version_of(answer, versions).is_none() {
            return Err(brief());
        }
        let parts = match (answer.status, &wanted) {
            (200, _) => return Ok(()),
            (206, Some(Wanted::Parts(wanted))) => wanted,
            _ => return Err(brief()),
        };
        let got = parts_of(answer).unwrap_or_default();
        let right = got.len() == parts.len()
            && got
                .iter()
                .zip(parts)
                .all(|((first, last, ..), (from, to))| {
                    first == from && (last == to || (self.kind == Kind::Short && last < to))
                });
        right.then_some(()).ok_or_else(brief)
    }
}

/// What a Range asks for of so many octets.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Parts(Vec<(usize, usize)>),
    Nothing,
    /// The field is to be ignored.
    Whole,
}

fn wanted(range: &str, size: usize) -> Wanted {
    let specs = range.strip_prefix("bytes=").unwrap_or_default();
    let mut parts = Vec::new();
    for spec in specs.split(',') {
        let Some((first, last)) = spec.trim().split_once('-') else {
            return Wanted::Whole;
        };
        let part = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if first > last => return Wanted::Whole,
            (Ok(first), last) => (first, last.unwrap_or(usize::MAX)),
            (Err(_), Ok(0)) => (usize::MAX, 0),
            (Err(_), Ok(length)) => (size.saturating_sub(length), usize::MAX),
            _ => return Wanted::Whole,
        };
        if part.0 < size {
            parts.push((part.0, part.1.min(size - 1)));
        }
    }
    if size == 0 {
        return Wanted::Whole;
    }
    match parts.len() {
        0 => Wanted::Nothing,
        _ => Wanted::Parts(parts),
    }
}

type Part = (usize, usize, usize, Vec<u8>);

/// First and last octet, complete length and octets of each part; `None` where the framing is wrong.
fn parts_of(answer: &Answer) -> Option<Vec<Part>> {
    if let Some(told) = answer.field("content-range") {
        let (first, last, size) = content_range(told)?;
        return Some(vec![(first, last, size, answer.body.clone())]);
    }
    let kind = answer.field("content-type")?;
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=")?;
    let mut rest = &answer.body[..];
    let mut parts = Vec::new();
    let delimiter = format!("--{boundary}");
    loop {
        rest = after(rest, delimiter.as_bytes())?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        let head = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
        let fields = String::from_utf8_lossy(&rest[..head]).into_owned();
        let told = fields
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Range: "))?;
        let (first, last, size) = content_range(told)?;
        let octets = rest.get(head + 4..head + 4 + (last + 1 - first))?;
        parts.push((first, last, size, octets.to_vec()));
        rest = &rest[head + 4 + octets.len()..];
    }
}

fn after<'a>(octets: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    let at = octets
        .windows(what.len())
        .position(|window| window == what)?;
    Some(&octets[at + what.len()..])
}

fn content_range(told: &str) -> Option<(usize, usize, usize)> {
    let (range, size) = told.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// The versions of files, by path.
pub type Versions = Arc<Mutex<HashMap<String, usize>>>;

/// An origin of all the files, before which a gateway stores them by their limits.
pub fn files() -> (Origin, Gateway, Versions) {
    let versions = Versions::default();
    let seen = versions.clone();
    let origin = Origin::start(move |request, conn| {
        let versions = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let version = versions.get(&request.target).copied().unwrap_or_default();
        drop(versions);
        answer(request, conn, version);
    });
    let mut setup = Gateway::before(&origin).manual_clock();
    for limit in LIMITS {
        let kib = limit >> 10;
        let lines = format!("max_stored_body = \"{kib}KiB\"");
        setup = setup.route(&format!("/{kib}/{{*rest}}"), &lines);
    }
    (origin, setup.start(), versions)
}

fn date(version: usize) -> String {
    format!("Sun, 06 Nov 1994 08:{version:02}:37 GMT")
}

fn answer(request: &Request, conn: &mut Conn, version: usize) {
    let file = File::of(&request.target);
    let whole = file.content(version);
    let validator = file.validator(version);
    let names = |field| {
        request
            .fields
            .get(field)
            .is_some_and(|named: &str| named == validator)
    };
    let same = request
        .fields
        .get("if-range")
        .is_none_or(|_| names("if-range"))
        || file.kind == Kind::Heedless;
    let range = request
        .fields
        .get("range")
        .filter(|_| same && file.kind != Kind::Whole);
    let validates = ["if-none-match", "if-modified-since"]
        .into_iter()
        .any(names);
    let answer = match range.map(|range| wanted(range, file.size)) {
        _ if validates => reply(304),
        Some(Wanted::Nothing) => {
            reply(416).field("Content-Range", format!("bytes */{}", file.size))
        }
        Some(Wanted::Parts(parts)) => part(&file, &whole, &parts),
        _ => reply(200).body(&whole),
    };
    conn.reply(request, &described(&file, answer, version));
}

fn part(file: &File, whole: &[u8], parts: &[(usize, usize)]) -> Reply {
    let size = whole.len();
    let range = |first: usize, last: usize| format!("bytes {first}-{last}/{size}");
    match parts {
        [(first, last)] => {
            let last = match file.kind {
                Kind::Short => (*last).min(first + SHORT - 1),
                _ => *last,
            };
            reply(206)
                .field("Content-Range", range(*first, last))
                .body(&whole[*first..=last])
        }
        parts => {
            let mut body = Vec::new();
            for (first, last) in parts {
                let head = format!("--limit\r\nContent-Range: {}\r\n\r\n", range(*first, *last));
                body.extend_from_slice(head.as_bytes());
                body.extend_from_slice(&whole[*first..=*last]);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--limit--\r\n");
            reply(206)
                .field("Content-Type", "multipart/byteranges; boundary=limit")
                .body(body)
        }
    }
}

fn described(file: &File, answer: Reply, version: usize) -> Reply {
    let answer = match file.kind {
        Kind::Dated => answer.field("Last-Modified", date(version)),
        Kind::Bare => answer,
        _ => answer.field("ETag", file.validator(version)),
    };
    let answer = match file.kind {
        Kind::Private => answer.field("Cache-Control", "private, max-age=60"),
        _ => answer.field("Cache-Control", "max-age=60"),
    };
    match file.kind {
        Kind::Chunked => answer.chunked(),
        _ => answer,
    }
}
