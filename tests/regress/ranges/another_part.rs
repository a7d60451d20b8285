//! APIs that answer a Range with something else than what was asked for: one answer without it is passed on as it came,
//! and the API is not asked over and over.

use crate::common::{Answer, Gateway, Origin, Reply, Request, get, head, reply};

const FILE: &str = "0123456789";

type Answers = fn(&Request) -> Reply;

fn part(first: usize, last: usize) -> Reply {
    reply(206)
        .field("Cache-Control", "max-age=60")
        .field("Content-Range", format!("bytes {first}-{last}/10"))
        .body(&FILE[first..=last])
}

fn whole() -> Reply {
    reply(200).field("Cache-Control", "max-age=60").body(FILE)
}

fn multipart() -> Reply {
    reply(206)
        .field("Cache-Control", "max-age=60")
        .field("Content-Type", "multipart/byteranges; boundary=x")
        .body("--x\r\nContent-Range: bytes 0-4/10\r\n\r\n01234\r\n--x--\r\n")
}

fn beyond() -> Reply {
    reply(416)
        .field("Cache-Control", "max-age=60")
        .field("Content-Range", "bytes */10")
}

fn tagged(reply: Reply) -> Reply {
    reply.field("ETag", "\"1\"")
}

/// `bytes=0-4` as it should be, and `other` for any other request with a Range.
fn first_part_or(request: &Request, other: Reply) -> Reply {
    match request.fields.get("range") {
        Some("bytes=0-4") => part(0, 4),
        _ => other,
    }
}

#[test]
fn an_answer_without_the_part_that_was_asked_for_is_passed_on() {
    let apis: [(&str, Answers); 15] = [
        ("one part, always", |_| part(0, 4)),
        ("one part, always, with a tag", |_| tagged(part(0, 4))),
        ("one part, always, not to be stored", |_| {
            part(0, 4).field("Cache-Control", "no-store")
        }),
        ("one part, and no length", |_| part(0, 4).chunked()),
        ("a part in the middle, with a tag", |_| tagged(part(5, 7))),
        ("the part before", |request| {
            tagged(first_part_or(request, part(4, 5)))
        }),
        ("a part behind", |request| {
            tagged(first_part_or(request, part(8, 9)))
        }),
        ("of another length", |request| {
            let other = reply(206)
                .field("Cache-Control", "max-age=60")
                .field("Content-Range", "bytes 0-4/20")
                .body("01234");
            tagged(first_part_or(request, other))
        }),
        ("with a tag that changes", |request| {
            match request.fields.get("range") {
                Some("bytes=0-4") => tagged(part(0, 4)),
                _ => part(0, 4).field("ETag", "\"2\""),
            }
        }),
        ("the whole", |_| whole()),
        ("the whole, with a tag", |request| {
            tagged(first_part_or(request, whole()))
        }),
        ("several parts", |_| multipart()),
        ("several parts, with a tag", |request| {
            tagged(first_part_or(request, multipart()))
        }),
        ("nothing", |_| beyond()),
        ("nothing, with a tag", |request| {
            tagged(first_part_or(request, beyond()))
        }),
    ];
    let mut wrong = Vec::new();
    for (what, answers) in apis {
        let origin = Origin::start(move |request, conn| conn.reply(request, &answers(request)));
        let gateway = Gateway::before(&origin).start();
        for before in [None, Some("bytes=0-4")] {
            for (at, range) in RANGES.iter().enumerate() {
                let path = format!("/{at}{}", if before.is_some() { "/more" } else { "" });
                if let Some(before) = before {
                    gateway.send(&get(&path).field("Range", before));
                }
                let case = Case {
                    origin: &origin,
                    gateway: &gateway,
                    answers,
                    path: &path,
                    range,
                };
                let found = case.faults();
                wrong.extend(
                    found.map(|found| format!("{what}, {range} after {before:?}: {found}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const RANGES: [&str; 6] = [
    "bytes=-5",
    "bytes=5-9",
    "bytes=3-8",
    "bytes=0-",
    "bytes=0-1,8-9",
    "bytes=20-",
];

struct Case<'a> {
    origin: &'a Origin,
    gateway: &'a Gateway,
    answers: Answers,
    path: &'a str,
    range: &'static str,
}

impl Case<'_> {
    /// What is wrong, with the first request for which it is.
    fn faults(&self) -> Option<String> {
        let ranged = || get(self.path).field("Range", self.range);
        for turn in 0..3 {
            let before = self.origin.count();
            let answer = self.gateway.send(&ranged());
            let asked = self.origin.count() - before;
            if asked > 2 {
                return Some(format!("{asked} requests at turn {turn}"));
            }
            let is_passed_on = asked > 0 && self.is_the_api_s(&answer);
            if !self.is_right(&answer) && !is_passed_on {
                return Some(format!("turn {turn}: {answer:?}"));
            }
        }
        let before = self.origin.count();
        self.gateway
            .send(&head(self.path).field("Range", self.range));
        let asked = self.origin.count() - before;
        if asked > 1 {
            return Some(format!("{asked} requests for a HEAD"));
        }
        self.gateway.get(self.path);
        let asked = self.origin.count() - before;
        (asked > 3).then(|| format!("{asked} requests with the whole"))
    }

    /// Whether it is what was asked for; a 206 may be smaller at its end.
    fn is_right(&self, answer: &Answer) -> bool {
        let told = answer.field("content-range").unwrap_or_default();
        let first = match (answer.status, self.range) {
            (200, _) => return answer.text() == FILE,
            (206, "bytes=0-1,8-9") => return answer.text().contains("bytes 8-9/10"),
            (206, "bytes=-5" | "bytes=5-9") => "5",
            (206, "bytes=3-8") => "3",
            (206, "bytes=0-") => "0",
            (416, "bytes=20-") => return true,
            _ => return false,
        };
        told.starts_with(&format!("bytes {first}-")) && answer.text().starts_with(first)
    }

    /// Whether it is the API's own answer, to the client's own range where it could have been another's.
    fn is_the_api_s(&self, answer: &Answer) -> bool {
        let last = self.origin.last();
        let own = (self.answers)(&last);
        let (status, fields, content) = own.parts();
        let has_seen_range = last.fields.get("range") == Some(self.range);
        (has_seen_range || !fields.has("content-range"))
            && (answer.status, &answer.body[..]) == (status, content)
    }
}
