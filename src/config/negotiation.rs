//! Readers of languages and content codings, by which responses are negotiated.

use http::HeaderName;

use super::value::Value;

/// A language tag: RFC 4647 §2.1, without wildcards.
pub(super) fn language(value: Value<'_>) -> Option<String> {
    let text = value.text("a language such as \"en\" or \"pt-BR\"")?;
    let subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric());
    match text.split('-').all(subtag) {
        true => Some(text.into_owned()),
        false => value.refuse_text("is not a language, such as \"en\" or \"pt-BR\""),
    }
}

/// A content coding (RFC 9110 §8.4.1), in lower case.
pub(super) fn coding(value: Value<'_>) -> Option<String> {
    let text = value.text("a content coding such as \"gzip\"")?;
    // Their syntax is that of field names: a token.
    match HeaderName::try_from(text.as_ref()) {
        Ok(token) => Some(token.as_str().to_owned()),
        Err(_) => value.refuse_text("is not a content coding, such as \"gzip\" or \"br\""),
    }
}
