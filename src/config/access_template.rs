//! The line of the access log as an operator writes it: `{client} "{method} {target}" {status}`.

use super::section::nearest;

/// What a line says of a request. The names are those of the members of the JSON form, but for `clf_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessToken {
    Time,
    ClfTime,
    Peer,
    Client,
    User,
    Scheme,
    Host,
    Route,
    RequestId,
    Method,
    Target,
    Version,
    Status,
    Bytes,
    Duration,
    Result,
    Reason,
    Cache,
    Failure,
    Detail,
    Referer,
    UserAgent,
    Tls,
    UpstreamServer,
    UpstreamTime,
    Attempts,
}

const TOKENS: [(&str, AccessToken); 26] = [
    ("time", AccessToken::Time),
    ("clf_time", AccessToken::ClfTime),
    ("peer", AccessToken::Peer),
    ("client", AccessToken::Client),
    ("user", AccessToken::User),
    ("scheme", AccessToken::Scheme),
    ("host", AccessToken::Host),
    ("route", AccessToken::Route),
    ("request_id", AccessToken::RequestId),
    ("method", AccessToken::Method),
    ("target", AccessToken::Target),
    ("version", AccessToken::Version),
    ("status", AccessToken::Status),
    ("bytes", AccessToken::Bytes),
    ("duration_ms", AccessToken::Duration),
    ("result", AccessToken::Result),
    ("reason", AccessToken::Reason),
    ("cache", AccessToken::Cache),
    ("failure", AccessToken::Failure),
    ("detail", AccessToken::Detail),
    ("referer", AccessToken::Referer),
    ("user_agent", AccessToken::UserAgent),
    ("tls", AccessToken::Tls),
    ("upstream_server", AccessToken::UpstreamServer),
    ("upstream_ms", AccessToken::UpstreamTime),
    ("attempts", AccessToken::Attempts),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessPart {
    Text(Box<str>),
    AccessToken(AccessToken),
}

/// A line, without the line feed at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTemplate(pub Box<[AccessPart]>);

impl AccessTemplate {
    /// Whether lines name this.
    pub fn names(&self, token: AccessToken) -> bool {
        self.0.contains(&AccessPart::AccessToken(token))
    }

    /// Reads a line; `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// A clause that says what is wrong, and the nearest token where one is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("has a control character: it is one line, whose end is added".to_owned());
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = braced.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = braced.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let inner = braced
                    .strip_prefix('{')
                    .and_then(|inner| inner.split_once('}'));
                let Some((name, after)) = inner else {
                    return Err("has a brace alone: write {{ or }} for one".to_owned());
                };
                if !literal.is_empty() {
                    parts.push(AccessPart::Text(std::mem::take(&mut literal).into()));
                }
                parts.push(AccessPart::AccessToken(token(name)?));
                rest = after;
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(AccessPart::Text(literal.into()));
        }
        Ok(Self(parts.into()))
    }
}

fn token(name: &str) -> Result<AccessToken, String> {
    let found = TOKENS.iter().find(|(known, _)| *known == name);
    found.map(|(_, token)| *token).ok_or_else(|| {
        let names = TOKENS.map(|(known, _)| known);
        match nearest(name, &names) {
            Some(near) => format!("has {{{name}}}, which is not known; did you mean {{{near}}}?"),
            None => format!(
                "has {{{name}}}, which is not known; there are {}",
                names.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_into_text_and_tokens() {
        let text = |text: &str| AccessPart::Text(text.into());
        let read =
            AccessTemplate::parse("{client} \"{method}\" {{{status}}}").map(|template| template.0);
        let expected = [
            AccessPart::AccessToken(AccessToken::Client),
            text(" \""),
            AccessPart::AccessToken(AccessToken::Method),
            text("\" {"),
            AccessPart::AccessToken(AccessToken::Status),
            text("}"),
        ];
        assert_eq!(read.as_deref(), Ok(&expected[..]));
        for (line, words) in [
            ("{methd}", "did you mean {method}?"),
            ("{colour}", "there are time, clf_time"),
            ("{method", "a brace alone"),
            ("a}", "a brace alone"),
            ("{method}\n", "a control character"),
        ] {
            let fault = AccessTemplate::parse(line).expect_err(line);
            assert!(fault.contains(words), "{line}: {fault}");
        }
    }
}
