//! `${NAME}` in a string of the configuration stands for an environment variable, so that secrets need not be
//! written down. `$${` stands for `${`; any other `$` for itself.

use std::borrow::Cow;

/// Looks a variable up; `None` when it is not set. Passed in, so that tests need not change the process's own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a string cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Unresolved<'t> {
    /// The part of the string that is meant.
    pub part: &'t str,
    pub message: String,
}

/// `text` with its variables replaced; what a variable holds is not looked at again.
pub fn substitute<'t>(text: &'t str, lookup: Lookup<'_>) -> Result<Cow<'t, str>, Unresolved<'t>> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at);
        if let Some(escaped) = before.strip_suffix('$') {
            result.push_str(escaped);
            result.push_str("${");
            rest = &variable[2..];
            continue;
        }
        result.push_str(before);
        let length = variable.find('}').ok_or_else(|| Unresolved {
            part: variable,
            message: "`${` without its `}`; for a `${` that means itself write `$${`".to_owned(),
        })?;
        let (part, after) = variable.split_at(length + 1);
        let name = &part[2..length];
        let unresolved = |message| Unresolved { part, message };
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(unresolved(format!(
                "`{name}` cannot be an environment variable's name; write it like `${{BOOKEND_ADMIN_TOKEN}}`"
            )));
        }
        let value = lookup(name)
            .ok_or_else(|| unresolved(format!("the environment variable `{name}` is not set")))?;
        result.push_str(&value);
        rest = after;
    }
    result.push_str(rest);
    Ok(Cow::Owned(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "TOKEN" => Some("sesame".to_owned()),
            "NESTED" => Some("${TOKEN}".to_owned()),
            "_EMPTY1" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("$5 and $TOKEN}", "$5 and $TOKEN}"),
            ("${TOKEN}", "sesame"),
            ("a${TOKEN}b${TOKEN}", "asesamebsesame"),
            ("${NESTED}", "${TOKEN}"),
            ("<${_EMPTY1}>", "<>"),
            ("$${TOKEN}", "${TOKEN}"),
            ("$${TOKEN} ${TOKEN}", "${TOKEN} sesame"),
            ("$$ $", "$$ $"),
        ] {
            assert_eq!(
                substitute(text, &lookup).as_deref(),
                Ok(expected),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_named() {
        for (text, part, message) in [
            (
                "x${NONE}y",
                "${NONE}",
                "the environment variable `NONE` is not set",
            ),
            ("${TOKEN", "${TOKEN", "`${` without its `}`"),
            ("${}", "${}", "`` cannot be"),
            ("${1X}", "${1X}", "`1X` cannot be"),
            ("${A-B}", "${A-B}", "`A-B` cannot be"),
            ("${TOKEN}${ TOKEN}", "${ TOKEN}", "` TOKEN` cannot be"),
        ] {
            let unresolved = substitute(text, &lookup).expect_err(text);
            assert_eq!(unresolved.part, part);
            assert!(
                unresolved.message.starts_with(message),
                "{}",
                unresolved.message
            );
        }
    }
}
