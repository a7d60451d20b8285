//! Header fields that the operator sets, adds and removes on their way: `request_fields` and `response_fields` of a route.

use std::borrow::Cow;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use smallvec::SmallVec;

use super::hop_by_hop::HOP_BY_HOP;
use super::media_type::is_multipart_byteranges;
use super::meta_variable::remove_twins;
use super::path_form::PathForm;
use super::percent;

/// What is done to the fields of a message, in this order: fields are removed, set, and added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    pub remove: Vec<HeaderName>,
    /// In the place of all lines of that name.
    pub set: Vec<(HeaderName, Template)>,
    /// Beside the lines of that name.
    pub add: Vec<(HeaderName, Template)>,
}

/// A field's value, in which parts stand for what a request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Box<[Piece]>,
    /// The `match` of the route that it was written for, where it names a part of the path.
    path: Option<PathForm>,
    /// All of it, where nothing depends on a request.
    constant: Option<HeaderValue>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(Box<str>),
    /// The address of the client.
    ClientIp,
    /// The request's own id.
    RequestId,
    /// The host that the client named, with its port where that is not the scheme's.
    Host,
    /// What this name of the route's `match` stands for in the path: as it stands there, percent-encoded.
    Part(Box<str>),
}

/// What templates need of a request.
pub trait Values {
    fn client_ip(&self) -> Cow<'_, str>;
    fn request_id(&self) -> &str;
    fn host(&self) -> &str;
    /// In normal form, without the query.
    fn path(&self) -> &str;
    /// The path as forgiving APIs may read it; empty where all read it alike.
    fn other_readings(&self) -> SmallVec<[String; 2]>;
}

impl Template {
    /// For the route whose `match` is `path`. `None` where a text has an octet that no field's value has. `secret`: it is left
    /// out of what is shown for debugging.
    pub fn new(pieces: Vec<Piece>, path: Option<PathForm>, secret: bool) -> Option<Self> {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            _ => None,
        };
        let texts: Vec<_> = pieces.iter().filter_map(text).collect();
        let mut whole = HeaderValue::from_str(&texts.concat()).ok()?;
        whole.set_sensitive(secret);
        Some(Self {
            constant: (texts.len() == pieces.len()).then_some(whole),
            path: path.filter(|_| pieces.iter().any(|piece| matches!(piece, Piece::Part(_)))),
            pieces: pieces.into(),
        })
    }

    /// Whether requests for the same target may get different values.
    pub fn depends_on_client(&self) -> bool {
        let depends = |piece: &Piece| matches!(piece, Piece::ClientIp | Piece::RequestId);
        self.pieces.iter().any(depends)
    }

    /// `None` where the path is none of the route's, or APIs could read another part in it: the client could choose which.
    fn value(&self, values: &impl Values) -> Option<HeaderValue> {
        if let Some(constant) = &self.constant {
            return Some(constant.clone());
        }
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::ClientIp => text.push_str(&values.client_ip()),
                Piece::RequestId => text.push_str(values.request_id()),
                Piece::Host => text.push_str(values.host()),
                Piece::Part(name) => {
                    let form = self.path.as_ref()?;
                    let value = part(form, values.path(), name)?;
                    let same = [value, &decoded(value)];
                    for reading in values.other_readings() {
                        if !same.contains(&part(form, &reading, name)?) {
                            return None;
                        }
                    }
                    text.push_str(value);
                }
            }
        }
        HeaderValue::try_from(text).ok()
    }
}

/// A part of a path as an API reads it that decodes, where it reads the same part.
fn decoded(part: &str) -> String {
    let decoded = percent::decode(part, |octet| octet.is_ascii());
    percent::encoded(&decoded).into_owned()
}

/// What `name` stands for in `path`.
fn part<'a>(form: &'a PathForm, path: &'a str, name: &str) -> Option<&'a str> {
    let named = form.read(path)?;
    let found = named.into_iter().find(|(of, _)| *of == name);
    found.map(|(_, value)| value)
}

impl FieldEdits {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// All names whose fields change.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let lines = self.set.iter().chain(&self.add);
        self.remove.iter().chain(lines.map(|(name, _)| name))
    }

    /// Whether no field of a message that has this name goes on.
    pub fn drops(&self, name: &HeaderName) -> bool {
        self.remove.contains(name) || self.set.iter().any(|(set, _)| set == name)
    }

    /// Forgets what is done to the fields of these names.
    pub fn forget(&mut self, names: &[HeaderName]) {
        let is_kept = |name: &HeaderName| !names.contains(name);
        self.remove.retain(is_kept);
        self.set.retain(|(name, _)| is_kept(name));
        self.add.retain(|(name, _)| is_kept(name));
    }

    /// Takes out the lines that do not go on, and those that an API could take for them.
    pub fn take_out(&self, fields: &mut HeaderMap) {
        let names = (self.remove.iter()).chain(self.set.iter().map(|(name, _)| name));
        for name in names.clone() {
            fields.remove(name);
        }
        remove_twins(fields, names);
    }

    /// Puts in the lines of its own. Where the value of one cannot be had, there is no such line.
    pub fn put_in(&self, fields: &mut HeaderMap, values: &impl Values) {
        for (name, template) in self.set.iter().chain(&self.add) {
            if let Some(value) = template.value(values) {
                fields.append(name, value);
            }
        }
    }

    /// Edits the fields of a response with this status. `own`: it is an error of the gateway's, and what says how its content
    /// is read, and that it is not stored, is not the operator's to change.
    pub fn edit_response(
        &self,
        fields: &mut HeaderMap,
        status: StatusCode,
        own: bool,
        values: &impl Values,
    ) {
        let is_in_parts = is_multipart_byteranges(fields);
        // The boundary of parts stands in their Content-Type (RFC 9110 §14.6).
        let stays = |name: &HeaderName| {
            own && OWN.contains(name) || is_in_parts && *name == header::CONTENT_TYPE
        };
        // With an explicit lifetime an error may be stored, too (RFC 9111 §3): one that is meant for what the route serves
        // would keep it in every browser.
        let is_error = status.is_client_error() || status.is_server_error();
        let is_not_set = |name: &HeaderName| stays(name) || is_error && is_lifetime(name);
        for name in self.remove.iter().filter(|name| !stays(name)) {
            fields.remove(name);
        }
        for (name, _) in self.set.iter().filter(|(name, _)| !is_not_set(name)) {
            fields.remove(name);
        }
        let lines = self.set.iter().chain(&self.add);
        for (name, template) in lines.filter(|(name, _)| !is_not_set(name)) {
            if let Some(value) = template.value(values) {
                fields.append(name, value);
            }
        }
    }

    /// Which values requests get, as far as these do not differ by their client: two that are the same have the same text.
    pub fn describe(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for name in &self.remove {
            let _ = writeln!(text, "-{name}");
        }
        for (sign, lines) in [('=', &self.set), ('+', &self.add)] {
            for (name, template) in lines {
                let _ = writeln!(
                    text,
                    "{sign}{name}: {:?}{:?}",
                    template.pieces, template.path
                );
            }
        }
        text
    }
}

/// Fields of a response that says what went wrong here.
const OWN: [HeaderName; 5] = [
    header::ALLOW,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::EXPIRES,
    header::RETRY_AFTER,
];

/// Whether a field gives a response its lifetime: Cache-Control, those that are targeted (RFC 9213), and Expires.
pub fn is_lifetime(name: &HeaderName) -> bool {
    let text = name.as_str();
    *name == header::EXPIRES || text.ends_with("cache-control") || text == "surrogate-control"
}

/// How the fields of a name are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Set,
    Add,
    Remove,
}

const FRAMING: &str = "says where a message ends, or is for one connection alone: each hop writes its own (RFC 9110 §7.6.1, RFC 9112 §6)";
const WRITTEN_HERE: &str = "is written by the gateway itself";

/// Why the fields of this name in requests are not the operator's to change; `None` where they are.
pub fn refused_in_requests(name: &HeaderName) -> Option<&'static str> {
    if is_framing(name) || *name == header::EXPECT || name == "http2-settings" {
        return Some(FRAMING);
    }
    Some(match name.as_str() {
        "host" => "is the client's or the upstream's: see `host` of [upstream]",
        // RFC 9110 §7.6.2 and §7.6.3, RFC 7239, RFC 8586, RFC 9440
        "via" | "cdn-loop" | "forwarded" | "x-forwarded-for" | "x-forwarded-host"
        | "x-forwarded-prefix" | "x-forwarded-proto" | "client-cert" | "client-cert-chain"
        | "max-forwards" => WRITTEN_HERE,
        // RFC 9111 §4.3.2, RFC 9110 §13.2.1 and §14.2
        "range"
        | "if-range"
        | "if-match"
        | "if-none-match"
        | "if-modified-since"
        | "if-unmodified-since" => {
            "is evaluated by the cache, which fetches what it can store whole"
        }
        _ => return None,
    })
}

/// Why the fields of this name in responses are not the operator's to change so; `None` where they are.
pub fn refused_in_responses(name: &HeaderName, change: Change) -> Option<&'static str> {
    if is_framing(name) {
        return Some(FRAMING);
    }
    Some(match name.as_str() {
        // RFC 9110 §6.6.1 and §7.6.3, RFC 9111 §5.1, RFC 9209, RFC 9211
        "age" | "cache-status" | "date" | "proxy-status" | "via" => WRITTEN_HERE,
        "content-encoding" | "content-range" => "says what the octets of the content are",
        "etag" | "last-modified" if change != Change::Remove => {
            "tells one representation from another, so that one value for all makes clients keep an old one; see `etag`"
        }
        _ => return None,
    })
}

fn is_framing(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || *name == header::CONTENT_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Asked(&'static str, Option<&'static str>);

    impl Values for Asked {
        fn client_ip(&self) -> Cow<'_, str> {
            "192.0.2.1".into()
        }

        fn request_id(&self) -> &str {
            "id-1"
        }

        fn host(&self) -> &str {
            "api.example"
        }

        fn path(&self) -> &str {
            self.0
        }

        fn other_readings(&self) -> SmallVec<[String; 2]> {
            self.1.into_iter().map(str::to_owned).collect()
        }
    }

    fn template(pieces: Vec<Piece>) -> Template {
        let path = PathForm::parse("/books/{id}").expect("a path");
        Template::new(pieces, Some(path), false).expect("a value")
    }

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn a_template_says_what_the_request_says() {
        let id = || Piece::Part("id".into());
        for (path, lenient, value) in [
            ("/books/7", None, Some("7")),
            ("/books/a%20b", Some("/books/a b"), Some("a%20b")),
            ("/books/%C3%A9", Some("/books/%C3%A9"), Some("%C3%A9")),
            ("/books/%22", Some("/books/%22"), Some("%22")),
            ("/books/a%2Fb", Some("/books/a/b"), None),
            ("/books/7;x", Some("/books/7"), None),
            ("//books/7", Some("/books/7"), None),
            ("/films/7", None, None),
        ] {
            let found = template(vec![id()]).value(&Asked(path, lenient));
            let found = found.as_ref().map(|value| value.to_str().expect("ASCII"));
            assert_eq!(found, value, "{path}");
        }
        let all = vec![
            text("a-"),
            Piece::ClientIp,
            Piece::RequestId,
            Piece::Host,
            text("-z"),
        ];
        let all = template(all);
        let value = all.value(&Asked("/", None)).expect("a value");
        assert_eq!(value, "a-192.0.2.1id-1api.example-z");
        assert!(all.depends_on_client());
        assert!(!template(vec![text("a"), Piece::Host, id()]).depends_on_client());
        assert_eq!(
            template(Vec::new())
                .value(&Asked("/", None))
                .expect("a value"),
            ""
        );
        assert_eq!(Template::new(vec![text("a\r\nb: c")], None, false), None);
    }

    #[test]
    fn two_edits_that_send_the_same_are_described_alike() {
        let edits = |name: &'static str, pieces| FieldEdits {
            set: vec![(HeaderName::from_static(name), template(pieces))],
            ..FieldEdits::default()
        };
        let described = [
            edits("x-a", vec![text("a")]),
            edits("x-a", vec![text("b")]),
            edits("x-b", vec![text("a")]),
            edits("x-a", vec![Piece::Host]),
            FieldEdits {
                add: edits("x-a", vec![text("a")]).set,
                ..FieldEdits::default()
            },
            FieldEdits {
                remove: vec![HeaderName::from_static("x-a")],
                ..FieldEdits::default()
            },
        ];
        for (at, one) in described.iter().enumerate() {
            for (other_at, other) in described.iter().enumerate() {
                assert_eq!(one.describe() == other.describe(), at == other_at);
            }
        }
    }

    #[test]
    fn framing_and_what_the_gateway_writes_are_not_the_operator_s() {
        for name in [
            "connection",
            "transfer-encoding",
            "content-length",
            "te",
            "trailer",
            "upgrade",
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(refused_in_requests(&name), Some(FRAMING), "{name}");
            assert_eq!(
                refused_in_responses(&name, Change::Remove),
                Some(FRAMING),
                "{name}"
            );
        }
        // Whether it may be changed in a request, set in a response, and removed from one.
        for (name, request, set, remove) in [
            ("host", false, true, true),
            ("via", false, false, false),
            ("date", true, false, false),
            ("age", true, false, false),
            ("cache-status", true, false, false),
            ("x-forwarded-for", false, true, true),
            ("client-cert", false, true, true),
            ("if-none-match", false, true, true),
            ("range", false, true, true),
            ("expect", false, true, true),
            ("content-encoding", true, false, false),
            ("content-range", true, false, false),
            ("etag", true, false, true),
            ("last-modified", true, false, true),
            ("cookie", true, true, true),
            ("authorization", true, true, true),
            ("set-cookie", true, true, true),
            ("cache-control", true, true, true),
            ("vary", true, true, true),
            ("x-tenant", true, true, true),
        ] {
            let name = HeaderName::from_static(name);
            let may = [
                refused_in_requests(&name),
                refused_in_responses(&name, Change::Set),
                refused_in_responses(&name, Change::Remove),
            ];
            assert_eq!(
                may.map(|why| why.is_none()),
                [request, set, remove],
                "{name}"
            );
            let add = refused_in_responses(&name, Change::Add);
            assert_eq!(add.is_none(), set, "{name}");
        }
    }
}
