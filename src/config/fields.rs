//! `request_fields`, `response_fields`, `key_fields` and `key_cookies`: what a route changes of messages, and which request
//! fields and cookies are part of its keys.

use std::sync::Arc;

use http::HeaderName;
use toml::de::DeValue;

use super::env;
use super::readers::list;
use super::section::{Section, nearest};
use super::value::Value;
use crate::semantics::field_edits::{
    Change, FieldEdits, Piece, Template, refused_in_requests, refused_in_responses,
};
use crate::semantics::key_rule::{KeyRule, refused_in_keys};
use crate::semantics::path_form::PathForm;

/// What is done to a route's requests before anything is selected by their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRules {
    pub fields: FieldEdits,
    pub key: KeyRule,
    /// What a key says of `fields`, so that what is stored under other ones is not found by it; empty for none.
    pub fields_in_key: Box<str>,
    /// The path can be read as that of several routes: what any of them does not let the client say does not go on.
    pub of_readings: bool,
}

impl RequestRules {
    /// Whether requests stay as they are, and are stored by their URL alone.
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.key.is_empty()
    }

    /// The same rules for requests whose path can be read as that of several routes.
    pub(super) fn of_readings(rules: Option<&Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            of_readings: true,
            ..rules.map(|rules| Self::clone(rules)).unwrap_or_default()
        })
    }

    /// The rules of a route; `None` where requests stay as they are.
    pub(super) fn finish(mut self) -> Option<Arc<Self>> {
        if self.is_empty() {
            return None;
        }
        if !self.fields.is_empty() {
            let digest = blake3::hash(self.fields.describe().as_bytes());
            self.fields_in_key = format!("~{}", &digest.to_hex()[..16]).into();
        }
        Some(Arc::new(self))
    }
}

/// Which messages are edited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

type Lines = Vec<(HeaderName, Template)>;

/// Reads what a section says, for the route with this `match`. What it says of a field takes the
/// place of what is known of that field. Returns the names of the request fields that it speaks of.
pub(super) fn read(
    section: &mut Section<'_>,
    pattern: &str,
    requests: &mut RequestRules,
    responses: &mut FieldEdits,
) -> Vec<HeaderName> {
    let own = section.section("request_fields", |section| {
        read_edits(section, Side::Request, pattern, &mut requests.fields)
    });
    section.section("response_fields", |section| {
        read_edits(section, Side::Response, pattern, responses);
    });
    let field = |value: Value<'_>| {
        value.parsed("a field's name such as \"Accept-Language\"", |name| {
            let name: HeaderName =
                (name.parse()).map_err(|_| "is not a field's name, such as \"Accept-Language\"")?;
            refused_in_keys(&name).map_or(Ok(name), Err)
        })
    };
    section.set("key_fields", &mut requests.key.fields, list(field));
    // A cookie's name is a token (RFC 6265 §4.1.1).
    let cookie = |value: Value<'_>| {
        value.parsed(
            "a cookie's name such as \"lang\"",
            |name| match HeaderName::from_bytes(name.as_bytes()) {
                Ok(_) => Ok(name.to_owned()),
                Err(_) => Err("is not a cookie's name, such as \"lang\""),
            },
        )
    };
    section.set("key_cookies", &mut requests.key.cookies, list(cookie));
    own
}

fn read_edits(
    section: &mut Section<'_>,
    side: Side,
    pattern: &str,
    edits: &mut FieldEdits,
) -> Vec<HeaderName> {
    let mut own = FieldEdits::default();
    section.set("set", &mut own.set, lines(side, Change::Set, pattern));
    section.set("add", &mut own.add, lines(side, Change::Add, pattern));
    section.set(
        "remove",
        &mut own.remove,
        list(move |value: Value<'_>| {
            value.parsed("a field's name such as \"X-Powered-By\"", |name| {
                checked_name(name, side, Change::Remove)
            })
        }),
    );
    let removed = own
        .remove
        .iter()
        .find(|name| own.set.iter().any(|(set, _)| set == *name));
    if let (Some(name), Some(place)) = (removed, section.given("remove")) {
        let message = format!(
            "`{name}` is in `set` too, which takes the place of the field: leave it out here"
        );
        section.mistake(place, message);
    }
    if own.remove.contains(&http::header::VARY)
        && let Some(place) = section.given("remove")
    {
        let message = "without Vary, caches behind this one give each client what another one got, \
                       whatever its Accept fields say";
        section.warning(place, message);
    }
    let names: Vec<_> = own.names().cloned().collect();
    edits.forget(&names);
    edits.remove.extend(own.remove);
    edits.set.extend(own.set);
    edits.add.extend(own.add);
    names
}

/// Warns of what a section says that has no effect, or another one than it seems to have. `own`: the request fields that it
/// speaks of; `bypass`: the cache is not asked.
pub(super) fn warn(
    section: &Section<'_>,
    own: &[HeaderName],
    requests: &RequestRules,
    bypass: bool,
) {
    let given = |key| section.given(key);
    if bypass {
        for key in ["key_fields", "key_cookies"] {
            if let Some(place) = given(key) {
                section.warning(
                    place,
                    format!("`{key}` changes nothing beside `bypass = true`"),
                );
            }
        }
        return;
    }
    if let Some(place) = given("request_fields") {
        let lines = requests.fields.set.iter().chain(&requests.fields.add);
        for (name, template) in lines {
            if template.depends_on_client()
                && own.contains(name)
                && !requests.key.fields.contains(name)
                && !TRACING.contains(&name.as_str())
            {
                let message = format!(
                    "`{name}` differs between clients, who share what is stored: where the API's responses depend on it, \
                     have it name the field in Vary, add it to `key_fields`, or set `bypass = true`"
                );
                section.warning(place.clone(), message);
            }
        }
    }
    if let Some(place) = given("key_cookies")
        && requests.fields.drops(&http::header::COOKIE)
    {
        section.warning(
            place,
            "`key_cookies` changes nothing, since `request_fields` removes Cookie",
        );
    }
}

/// Fields that tell one request from another, by which no API chooses its response.
const TRACING: [&str; 3] = ["x-request-id", "x-correlation-id", "request-id"];

/// `{ "X-Tenant" = "books", Link = ["<a>", "<b>"] }`
fn lines<'a>(side: Side, change: Change, pattern: &str) -> impl Fn(Value<'a>) -> Option<Lines> {
    move |value| {
        let DeValue::Table(table) = value.item() else {
            return value.refuse_type("a table of fields, such as { \"X-Tenant\" = \"books\" }");
        };
        let mut lines: Option<Lines> = Some(Vec::new());
        for (key, item) in table {
            let name = checked_name(key.get_ref(), side, change)
                .inspect_err(|fault| {
                    let message = format!("`{}` {fault}", key.get_ref());
                    value.report.mistake(key.span(), message);
                })
                .ok();
            if let (Some(name), Some(lines)) = (&name, &lines)
                && lines.iter().any(|(known, _)| known == name)
            {
                let message = format!("`{name}` is there twice: give it a list of values");
                value.report.mistake(key.span(), message);
            }
            let members = Value { item, ..value }.members().into_iter();
            let read: Vec<_> = members.map(|member| template(member, pattern)).collect();
            let read: Option<Vec<_>> = read.into_iter().collect();
            lines = lines.zip(name.zip(read)).map(|(mut lines, (name, read))| {
                lines.extend(read.into_iter().map(|template| (name.clone(), template)));
                lines
            });
        }
        lines
    }
}

fn checked_name(text: &str, side: Side, change: Change) -> Result<HeaderName, String> {
    let name: HeaderName = text
        .parse()
        .map_err(|_| "is not a field's name, such as \"X-Tenant\"".to_owned())?;
    let refused = match side {
        Side::Request => refused_in_requests(&name),
        Side::Response => refused_in_responses(&name, change),
    };
    refused.map_or(Ok(name), |why| Err(why.to_owned()))
}

/// A value with `{id}`, `{client_ip}`, `{request_id}` and `{host}` in it; `{{` and `}}` stand for braces, and `${NAME}` for an
/// environment variable, whose value is taken as it is.
fn template(value: Value<'_>, pattern: &str) -> Option<Template> {
    let DeValue::String(text) = value.item() else {
        return value.refuse_type("a field's value such as \"books\"");
    };
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut secret = false;
    let mut rest: &str = text;
    while let Some(at) = rest.find(['{', '}', '$']) {
        literal.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            literal.push_str(&rest[..1]);
            rest = after;
        } else if rest.starts_with("$${") {
            literal.push_str("${");
            rest = &rest[3..];
        } else if rest.starts_with("${") {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            match env::substitute(&rest[..end], value.report.lookup) {
                Ok(text) => literal.push_str(&text),
                Err(unresolved) => return value.refuse(unresolved.message),
            }
            secret = true;
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix('$') {
            literal.push('$');
            rest = after;
        } else {
            let named = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let Some((name, after)) = named else {
                return value.refuse_text(
                    "has a brace alone; write `{{` or `}}` for one that means itself",
                );
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            match piece(name, pattern) {
                Ok(piece) => pieces.push(piece),
                Err(fault) => return value.refuse_text(fault),
            }
            rest = after;
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    let template = Template::new(pieces, PathForm::parse(pattern).ok(), secret);
    template.or_else(|| value.refuse_text("has a control, which no field's value has"))
}

const KNOWN: [(&str, Piece); 3] = [
    ("client_ip", Piece::ClientIp),
    ("request_id", Piece::RequestId),
    ("host", Piece::Host),
];

fn piece(name: &str, pattern: &str) -> Result<Piece, String> {
    let form = PathForm::parse(pattern).ok();
    let parts: Vec<&str> = form.iter().flat_map(PathForm::names).collect();
    let known = KNOWN.into_iter().find(|(known, _)| *known == name);
    match (known, parts.contains(&name)) {
        (Some(_), true) => Err(format!(
            "cannot tell whether `{{{name}}}` of the route's `match` is meant: give that another name"
        )),
        (Some((_, piece)), false) => Ok(piece),
        (None, true) => Ok(Piece::Part(name.into())),
        (None, false) => {
            let all: Vec<_> = KNOWN.iter().map(|(known, _)| *known).chain(parts).collect();
            let cure = match nearest(name, &all) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => format!("there are `{{{}}}`.", all.join("}`, `{")),
            };
            Err(format!(
                "has `{{{name}}}`, which stands for nothing here; {cure} For a brace that means itself write `{{{{`"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, RoutePolicy};

    /// What is said of a route with these lines: each mistake or warning with its place.
    fn said(lines: &str) -> Vec<String> {
        let text =
            format!("[upstream]\nservers = 'http://a'\n[[route]]\nmatch = '/b/{{id}}'\n{lines}\n");
        let lookup = |name: &str| (name == "KEY").then(|| "{sesame}".to_owned());
        match Config::parse(&text, "f", &lookup) {
            Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
            Ok(config) => config.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_mistake_or_a_warning_says_what_to_do() {
        #[rustfmt::skip]
        let table: [(&str, &[&str]); 29] = [
            ("request_fields = { set = { X-A = '{id}{host}{client_ip}' }, add = { X-B = ['a', 'b'] }, remove = ['X-C'] }\nbypass = true", &[]),
            ("request_fields = { set = { X-A = '{{id}} ${KEY} $ $${x' } }", &[]),
            ("request_fields = { set = { X-A = '{idd}' } }", &["f:5:34: `set`: \"{idd}\" has `{idd}`, which stands for nothing here; did you mean `{id}`? For a brace that means itself write `{{`"]),
            ("request_fields = { set = { X-A = '{*}' } }", &["f:5:34: `set`: \"{*}\" has `{*}`, which stands for nothing here; there are `{client_ip}`, `{request_id}`, `{host}`, `{id}`. For a brace that means itself write `{{`"]),
            ("request_fields = { set = { X-A = 'a}' } }", &["f:5:34: `set`: \"a}\" has a brace alone; write `{{` or `}}` for one that means itself"]),
            ("request_fields = { set = { X-A = '${NONE}' } }", &["f:5:34: the environment variable `NONE` is not set"]),
            ("request_fields = { set = { X-A = \"a\\nb\" } }", &["f:5:34: `set`: \"a\nb\" has a control, which no field's value has"]),
            ("request_fields = { set = { X-A = 1 } }", &["f:5:34: `set` must be a field's value such as \"books\", not a whole number"]),
            ("request_fields = { set = 'X-A' }", &["f:5:26: `set` must be a table of fields, such as { \"X-Tenant\" = \"books\" }, not a string"]),
            ("request_fields = { set = { X-A = 'a', x-a = 'b' } }", &["f:5:39: `x-a` is there twice: give it a list of values"]),
            ("request_fields = { set = { 'X A' = 'a' } }", &["f:5:28: `X A` is not a field's name, such as \"X-Tenant\""]),
            ("request_fields = { set = { Host = 'a' } }", &["f:5:28: `Host` is the client's or the upstream's: see `host` of [upstream]"]),
            ("request_fields = { remove = ['Range'] }", &["f:5:30: `remove`: \"Range\" is evaluated by the cache, which fetches what it can store whole"]),
            ("request_fields = { remove = ['Via'] }", &["f:5:30: `remove`: \"Via\" is written by the gateway itself"]),
            ("request_fields = { set = { X-A = 'a' }, remove = ['X-A'] }", &["f:5:50: `x-a` is in `set` too, which takes the place of the field: leave it out here"]),
            ("request_fields = { sett = {} }", &["f:5:20: unknown key `sett` in [route.request_fields]; did you mean `set`?"]),
            ("request_fields = { set = { X-A = '{client_ip}' } }", &["f:5:18: `x-a` differs between clients, who share what is stored: where the API's responses depend on it, have it name the field in Vary, add it to `key_fields`, or set `bypass = true`"]),
            ("request_fields = { set = { X-A = '{client_ip}' } }\nkey_fields = 'X-A'", &[]),
            ("request_fields = { set = { X-Request-Id = '{request_id}' } }", &[]),
            ("response_fields = { set = { X-A = '{request_id}' }, add = { Set-Cookie = 'a=b' }, remove = ['ETag', 'Set-Cookie2'] }", &[]),
            ("response_fields = { set = { ETag = 'a' } }", &["f:5:29: `ETag` tells one representation from another, so that one value for all makes clients keep an old one; see `etag`"]),
            ("response_fields = { remove = ['Age'] }", &["f:5:31: `remove`: \"Age\" is written by the gateway itself"]),
            ("response_fields = { remove = ['Vary'] }", &["f:5:30: without Vary, caches behind this one give each client what another one got, whatever its Accept fields say"]),
            ("key_fields = ['Authorization', 'Cookie', 'Host']", &[
                "f:5:15: `key_fields`: \"Authorization\" has credentials, with which responses are not stored unless they are for everybody",
                "f:5:32: `key_fields`: \"Cookie\" has all cookies: name those that matter in `key_cookies`",
                "f:5:42: `key_fields`: \"Host\" is part of every key",
            ]),
            ("key_fields = ['a b']", &["f:5:15: `key_fields`: \"a b\" is not a field's name, such as \"Accept-Language\""]),
            ("key_cookies = ['a=b']", &["f:5:16: `key_cookies`: \"a=b\" is not a cookie's name, such as \"lang\""]),
            ("key_cookies = ['lang']\nbypass = true", &["f:5:15: `key_cookies` changes nothing beside `bypass = true`"]),
            ("key_cookies = ['lang']\nrequest_fields = { remove = ['Cookie'] }", &["f:5:15: `key_cookies` changes nothing, since `request_fields` removes Cookie"]),
            ("response_fields = { add = { Connection = 'close' } }", &["f:5:29: `Connection` says where a message ends, or is for one connection alone: each hop writes its own (RFC 9110 §7.6.1, RFC 9112 §6)"]),
        ];
        for (lines, expected) in table {
            assert_eq!(said(lines), expected, "{lines}");
        }
    }

    #[test]
    fn a_route_begins_with_what_the_cache_section_says_of_other_fields() {
        let config = Config::parse(
            "[upstream]\nservers = 'http://a'\n[cache]\nkey_cookies = 'lang'\n\
             request_fields = { set = { X-A = 'a', X-B = 'b' }, remove = ['X-C', 'X-D'] }\n\
             response_fields = { add = { X-E = 'e' } }\n\
             [[route]]\nmatch = '/a'\nrequest_fields = { add = { X-A = 'c', X-C = 'c' }, remove = ['X-B'] }\n\
             [[route]]\nmatch = '/b'\nkey_cookies = []\n",
            "f",
            &|_| None,
        )
        .expect("a valid file");
        let names = |policy: &RoutePolicy| {
            let rules = policy.requests.as_ref().expect("rules");
            let lines = |lines: &[(http::HeaderName, _)]| {
                lines
                    .iter()
                    .map(|(name, _)| name.to_string())
                    .collect::<Vec<_>>()
            };
            let removed: Vec<_> = rules
                .fields
                .remove
                .iter()
                .map(ToString::to_string)
                .collect();
            let edits = [lines(&rules.fields.set), lines(&rules.fields.add), removed];
            (edits.map(|names| names.join(" ")), rules.key.cookies.len())
        };
        let edits = |edits: [&str; 3]| edits.map(str::to_owned);
        let routes = config.routes.listed();
        let all = edits(["x-a x-b", "", "x-c x-d"]);
        assert_eq!(names(config.routes.default_route()), (all.clone(), 1));
        assert_eq!(names(&routes[0]), (edits(["", "x-a x-c", "x-d x-b"]), 1));
        assert_eq!(names(&routes[1]), (all, 0));
        assert!(routes.iter().all(|route| route.response_fields.is_some()));
    }
}
