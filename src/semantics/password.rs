//! Hashes of passwords as htpasswd files have them, in the Modular Crypt Format: bcrypt, and crypt(3) with SHA-256 or SHA-512.
//! Both are slow on purpose: a verification may take a tenth of a second.

use std::fmt;

use sha_crypt::{PasswordHashRef, PasswordVerifier as _, ShaCrypt};

/// The highest cost of bcrypt: 2^14 rounds take about a second.
const MAX_COST: u32 = 14;

/// The most rounds of crypt(3): they take about a second.
const MAX_ROUNDS: u32 = 1_000_000;

/// Octets of the longest password that is verified: crypt(3) takes time by its length, at each round.
const MAX_PASSWORD: usize = 256;

/// One hash, whose form has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Box<str>,
    scheme: Scheme,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bcrypt,
    ShaCrypt,
}

impl PasswordHash {
    /// Fails with what is wrong with it: a clause that follows the name of its user, and never shows it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            Some(("2y" | "2b" | "2a", rest)) => (Scheme::Bcrypt, rest),
            Some((id @ ("5" | "6"), rest)) => {
                sha_crypt_form(id, rest)?;
                (Scheme::ShaCrypt, rest)
            }
            Some(("apr1" | "1", _)) => {
                return Err(
                    "has an MD5 hash, which is guessed too fast; make one with `htpasswd -B`"
                        .to_owned(),
                );
            }
            _ if text.starts_with("{SHA}") => {
                return Err(
                    "has a SHA-1 hash, which is guessed too fast; make one with `htpasswd -B`"
                        .to_owned(),
                );
            }
            _ => {
                return Err("has no hash of bcrypt ($2y$) or SHA-crypt ($5$, $6$); make one with `htpasswd -B`".to_owned());
            }
        };
        if scheme == Scheme::Bcrypt {
            bcrypt_form(text, rest)?;
        }
        Ok(Self {
            text: text.into(),
            scheme,
        })
    }

    /// Whether this is the hash of `password`; takes as long as the hash was made to take. No password of more than 256 octets is
    /// verified.
    pub fn is_of(&self, password: &[u8]) -> bool {
        if password.len() > MAX_PASSWORD {
            return false;
        }
        match self.scheme {
            Scheme::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Scheme::ShaCrypt => PasswordHashRef::new(&self.text)
                .is_ok_and(|hash| ShaCrypt::default().verify_password(password, hash).is_ok()),
        }
    }

    /// The hash itself, to tell it from others.
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Shows nothing of the hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// `rest` is what follows `$2y$`: `10$`, 22 characters of salt and 31 of hash.
fn bcrypt_form(text: &str, rest: &str) -> Result<(), String> {
    let cost = rest.split_once('$').and_then(|(cost, _)| cost.parse().ok());
    match cost {
        Some(cost) if cost > MAX_COST => Err(format!(
            "has a bcrypt hash of cost {cost}, which takes seconds; make one of cost 10 to {MAX_COST}"
        )),
        Some(4..) if text.parse::<bcrypt::HashParts>().is_ok() => Ok(()),
        _ => Err("has a bcrypt hash that is not whole".to_owned()),
    }
}

/// `rest` is what follows `$6$`: `rounds=5000$` or nothing, a salt, and the hash.
fn sha_crypt_form(id: &str, rest: &str) -> Result<(), String> {
    const BROKEN: &str = "has a SHA-crypt hash that is not whole";
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (None, rest),
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$').ok_or(BROKEN)?;
            (Some(rounds.parse::<u32>().map_err(|_| BROKEN)?), rest)
        }
    };
    match rounds {
        Some(..1_000) => return Err(BROKEN.to_owned()),
        Some(rounds) if rounds > MAX_ROUNDS => {
            return Err(format!(
                "has a SHA-crypt hash of {rounds} rounds, which takes seconds; at most {MAX_ROUNDS} are taken"
            ));
        }
        _ => {}
    }
    let (salt, hash) = rest.split_once('$').ok_or(BROKEN)?;
    let is_of = |text: &str| {
        text.bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"./".contains(&octet))
    };
    let length = if id == "5" { 43 } else { 86 };
    let is_whole = (1..=16).contains(&salt.len()) && hash.len() == length;
    match is_whole
        && is_of(salt)
        && is_of(hash)
        && PasswordHashRef::new(&format!("${id}${rest}")).is_ok()
    {
        true => Ok(()),
        false => Err(BROKEN.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // As crypt(3) makes them; the password of each is "sesame".
    const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";
    const SHA_256: &str = "$5$abcdefgh$4PbtPZdUc33o7LmNsM4HTsjYbIhyCeh4aCe.rEbHkq1";
    const SHA_512: &str = "$6$saltsalt$g3uPFdehVnKoLXdidvSAg1zlVgYomPr0X/xgdXSBn2LuxZUOGgYW4IULZkguZ77fzYteIur49AGHmF9iek6Sf1";
    const ROUNDS: &str = "$6$rounds=1000$saltsalt$5Oji4y.RQw4TBqlwXcGLBsxSL7.Pw5hdIpFnzMJTl.OaKsU3EiPTP5NseI3oKDT8iioErVqshwXGd40hlWBLx1";

    #[test]
    fn a_hash_is_that_of_its_password_alone() {
        for text in [BCRYPT, SHA_256, SHA_512, ROUNDS] {
            let hash = PasswordHash::parse(text).expect(text);
            assert!(hash.is_of(b"sesame"), "{text}");
            for wrong in ["", "sesam", "sesame ", "Sesame", "sesame\0"] {
                assert!(!hash.is_of(wrong.as_bytes()), "{text}: {wrong:?}");
            }
            assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
        }
    }

    #[test]
    fn a_password_that_would_take_too_long_is_not_verified() {
        for (length, text, expected) in [
            (
                256,
                "$5$rounds=1000$saltsalt$pOc.L5UBL2rOZbMf14fCVxlGqH8Bl0f7S0SuNZYYnl3",
                true,
            ),
            (
                257,
                "$5$rounds=1000$saltsalt$zyOpPAQwMVHbbPDEdh1VIJ0Ao9GhWw6nVhajJquWWf.",
                false,
            ),
        ] {
            let hash = PasswordHash::parse(text).expect(text);
            assert_eq!(
                hash.is_of("a".repeat(length).as_bytes()),
                expected,
                "{length}"
            );
        }
    }

    #[test]
    fn what_cannot_be_verified_is_refused_with_its_reason_and_not_shown() {
        let of_cost = |cost: &str| BCRYPT.replacen("$04$", cost, 1);
        let cut = |text: &str| text[..text.len() - 1].to_owned();
        for (text, fault) in [
            ("$apr1$abcdefgh$0123456789012345678901".to_owned(), "MD5"),
            ("$1$abcdefgh$0123456789012345678901".to_owned(), "MD5"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), "SHA-1"),
            ("sesame".to_owned(), "no hash"),
            ("".to_owned(), "no hash"),
            ("rqXexS6ZhobKA".to_owned(), "no hash"),
            ("$y$j9T$abc$def".to_owned(), "no hash"),
            (of_cost("$15$"), "of cost 15"),
            (of_cost("$03$"), "not whole"),
            (of_cost("$xx$"), "not whole"),
            (cut(BCRYPT), "not whole"),
            (cut(SHA_256), "not whole"),
            (cut(SHA_512), "not whole"),
            (
                SHA_512.replacen("$6$", "$6$rounds=1000001$", 1),
                "1000001 rounds",
            ),
            (SHA_512.replacen("$6$", "$6$rounds=999$", 1), "not whole"),
            (SHA_512.replacen("$6$", "$6$rounds=x$", 1), "not whole"),
            (
                SHA_512.replacen("$6$", "$6$abcdefghijklmno", 1),
                "not whole",
            ),
        ] {
            let refused = PasswordHash::parse(&text).expect_err(&text);
            assert!(refused.contains(fault), "{text}: {refused}");
            assert!(text.len() < 7 || !refused.contains(&text[3..]), "{refused}");
        }
    }
}
