//! `auth`: users and tokens that the gateway asks for itself, for small needs.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use toml::de::DeValue;

use crate::config::readers::{flag, path, some_list};
use crate::config::section::Section;
use crate::config::value::Value;
use crate::semantics::authentication::{basic_challenge, bearer_challenge, is_token68};
use crate::semantics::password::PasswordHash;

/// Bytes of the largest file of users or tokens.
const MAX_FILE: u64 = 1 << 20;

/// Who may ask: a user of the file, or whoever has one of the tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// `None` where no user is known.
    pub users: Option<Users>,
    pub tokens: Tokens,
    /// The API gets Authorization, too.
    pub forward: bool,
    /// WWW-Authenticate for a request without credentials, and for one whose credentials are wrong.
    pub challenges: [Box<[HeaderValue]>; 2],
}

/// The users of an htpasswd file.
#[derive(Clone, PartialEq)]
pub struct Users {
    pub file: PathBuf,
    hashes: HashMap<Box<[u8]>, PasswordHash>,
    /// Verified in vain for a user that there is not, so that the time taken does not tell which users there are.
    pub decoy: PasswordHash,
}

/// Bearer tokens, by their digests alone.
#[derive(Clone, Default, PartialEq)]
pub struct Tokens(Box<[blake3::Hash]>);

impl Users {
    /// The hash of this user's password.
    pub fn hash(&self, user: &[u8]) -> Option<&PasswordHash> {
        self.hashes.get(user)
    }

    /// Reads a file with `user:hash` in each line; empty lines and those that begin with `#` say nothing. Fails with its line and
    /// what is wrong with it.
    fn read(file: &Path) -> Result<Self, String> {
        let mut hashes = HashMap::new();
        let mut first = None;
        for (line, text) in lines(&content(file)?) {
            let at = |fault: String| format!("{}:{line}: {fault}", file.display());
            let (user, hash) = text
                .split_once(':')
                .ok_or_else(|| at("is not `user:hash`".to_owned()))?;
            // What `htpasswd` and others write behind it is a comment.
            let hash = hash.split(':').next().unwrap_or_default();
            let hash =
                PasswordHash::parse(hash).map_err(|fault| at(format!("\"{user}\" {fault}")))?;
            first.get_or_insert_with(|| hash.clone());
            if hashes.insert(user.as_bytes().into(), hash).is_some() {
                return Err(at(format!("\"{user}\" is there twice")));
            }
        }
        match first {
            Some(decoy) => Ok(Self {
                file: file.to_owned(),
                hashes,
                decoy,
            }),
            None => Err(format!("{}: has no user", file.display())),
        }
    }
}

impl Tokens {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is one of them. All digests are compared, each in constant time.
    pub fn has(&self, token: &[u8]) -> bool {
        let digest = blake3::hash(token);
        self.0
            .iter()
            .fold(false, |found, known| found | (*known == digest))
    }
}

impl Auth {
    /// `None` where the section is not there, or a mistake is noted.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let users = section.value("basic_file").map(users);
        let tokens = section.value("bearer").map(some_list(token));
        let token_file = section.value("bearer_file").map(token_file);
        let (mut realm, mut forward) = ("api".to_owned(), false);
        section.set("realm", &mut realm, self::realm);
        section.set("forward", &mut forward, flag);
        if !section.is_given() {
            return None;
        }
        if users.is_none() && tokens.is_none() && token_file.is_none() {
            let message = "`auth` says nobody who may ask; write `basic_file = \"users.htpasswd\"`, `bearer = [\"${TOKEN}\"]` or `bearer_file`";
            section.mistake(section.span(), message);
        }
        // The outer `None`: not given. The inner one: a mistake, which is noted.
        let users = match users {
            Some(users) => Some(users?),
            None => None,
        };
        let mut all = tokens.unwrap_or_else(|| Some(Vec::new()))?;
        all.extend(token_file.unwrap_or_else(|| Some(Vec::new()))?);
        let tokens = Tokens(all.into());
        let challenges = [false, true].map(|is_wrong| {
            let basic = users.as_ref().map(|_| basic_challenge(&realm));
            let bearer = (!tokens.is_empty()).then(|| bearer_challenge(&realm, is_wrong));
            basic.into_iter().chain(bearer).collect()
        });
        Some(Self {
            users,
            tokens,
            forward,
            challenges,
        })
    }
}

/// Shows no user.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.hashes.len();
        write!(f, "Users({}, {count})", self.file.display())
    }
}

/// Shows no token.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

fn users(value: Value<'_>) -> Option<Users> {
    let file = path(value)?;
    match Users::read(&file) {
        Ok(users) => Some(users),
        Err(fault) => value.refuse(format!("`basic_file`: {fault}")),
    }
}

/// A token's digest. Mistakes never show the token.
fn token(value: Value<'_>) -> Option<blake3::Hash> {
    let text = value.text("a string such as \"${API_TOKEN}\"")?;
    if let DeValue::String(written) = value.item()
        && let Some(name) = written.strip_prefix('$')
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return value.refuse(format!(
            "`bearer` would be these very letters; for the environment variable write \"${{{name}}}\""
        ));
    }
    match token_digest(&text) {
        Ok(digest) => Some(digest),
        Err(fault) => value.refuse(format!("`bearer` {fault}")),
    }
}

fn token_file(value: Value<'_>) -> Option<Vec<blake3::Hash>> {
    let file = path(value)?;
    let read = || {
        let mut tokens = Vec::new();
        for (line, text) in lines(&content(&file)?) {
            let at = |fault| format!("{}:{line}: {fault}", file.display());
            tokens.push(token_digest(text).map_err(at)?);
        }
        match tokens.is_empty() {
            true => Err(format!("{}: has no token", file.display())),
            false => Ok(tokens),
        }
    };
    match read() {
        Ok(tokens) => Some(tokens),
        Err(fault) => value.refuse(format!("`bearer_file`: {fault}")),
    }
}

fn token_digest(text: &str) -> Result<blake3::Hash, &'static str> {
    match is_token68(text.as_bytes()) {
        true => Ok(blake3::hash(text.as_bytes())),
        false => Err(
            "has a token that no request can carry: it is of letters, digits and -._~+/, with = at its end only",
        ),
    }
}

fn realm(value: Value<'_>) -> Option<String> {
    let text = value.text("a name such as \"Books\"")?;
    match text
        .bytes()
        .all(|octet| octet == b' ' || octet.is_ascii_graphic())
    {
        true => Some(text.into_owned()),
        false => value.refuse_text("has characters other than visible ASCII ones"),
    }
}

/// A whole file that is small.
fn content(file: &Path) -> Result<String, String> {
    let fault = |fault: String| format!("{}: {fault}", file.display());
    let size = fs::metadata(file)
        .map_err(|error| fault(format!("cannot be read: {error}")))?
        .len();
    if size > MAX_FILE {
        return Err(fault(format!("has more than {MAX_FILE} bytes")));
    }
    fs::read_to_string(file).map_err(|error| fault(format!("cannot be read: {error}")))
}

/// The lines that say something, with their numbers, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Some editors begin a file with a mark of its byte order.
    let text = text.trim_start_matches('\u{feff}');
    let numbered = text
        .lines()
        .zip(1..)
        .map(|(text, line)| (line, text.trim()));
    numbered.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
}
