//! Text of others on a terminal: URLs, field values and what an API answers may have characters that a terminal obeys, or that show
//! a line other than it is. All of these are escaped before a command prints them.

use std::fmt::Write;

use serde_json::Value;

/// Whether a terminal obeys this character, or shows nothing in its place: control characters (C0, C1), ends of lines and paragraphs,
/// what changes the direction of text, and invisible format characters.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` as part of one line: what a terminal would obey is escaped, as `\u{1b}` or `\n`.
pub fn printable(text: &str) -> String {
    escaped(text, &[])
}

/// `text` with its ends of lines and its tabs.
pub fn printable_lines(text: &str) -> String {
    escaped(text, &['\n', '\t'])
}

fn escaped(text: &str, kept: &[char]) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if !is_obeyed(c) || kept.contains(&c) => printable.push(c),
            '\n' | '\r' | '\t' => printable.extend(c.escape_default()),
            _ => printable.extend(c.escape_unicode()),
        }
    }
    printable
}

/// A JSON text that means the same, with all of these as JSON escapes them; the white space between its values stays.
pub fn printable_json(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        // The others can only be within its strings.
        match c {
            '\n' | '\r' | '\t' => printable.push(c),
            _ if is_obeyed(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(printable, "\\u{unit:04x}");
                }
            }
            _ => printable.push(c),
        }
    }
    printable
}

/// The value with each of its strings [`printable`], those of keys, too.
pub fn printable_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable(&text)),
        Value::Array(values) => values.into_iter().map(printable_value).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (printable(&name), printable_value(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a terminal obeys, with its escape.
    const OBEYED: [(&str, &str); 21] = [
        ("\u{0}", "\\u{0}"),
        ("\u{1b}", "\\u{1b}"),
        ("\r", "\\r"),
        ("\u{7f}", "\\u{7f}"),
        ("\u{9b}", "\\u{9b}"),
        ("\u{ad}", "\\u{ad}"),
        ("\u{61c}", "\\u{61c}"),
        ("\u{200b}", "\\u{200b}"),
        ("\u{200e}", "\\u{200e}"),
        ("\u{200f}", "\\u{200f}"),
        ("\u{2028}", "\\u{2028}"),
        ("\u{2029}", "\\u{2029}"),
        ("\u{202a}", "\\u{202a}"),
        ("\u{202e}", "\\u{202e}"),
        ("\u{2060}", "\\u{2060}"),
        ("\u{2066}", "\\u{2066}"),
        ("\u{2069}", "\\u{2069}"),
        ("\u{feff}", "\\u{feff}"),
        ("\u{fffb}", "\\u{fffb}"),
        ("\u{e0001}", "\\u{e0001}"),
        ("\u{e007f}", "\\u{e007f}"),
    ];

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_all_other_text_stays() {
        for (obeyed, escape) in OBEYED {
            let (text, expected) = (format!("a{obeyed}b"), format!("a{escape}b"));
            assert_eq!(printable(&text), expected);
            assert_eq!(printable_lines(&text), expected);
            let value = printable_value(json!({ text.as_str(): [{ "x": text }, 1] }));
            assert_eq!(value, json!({ expected.as_str(): [{ "x": expected }, 1] }));
        }
        let stays = "/books/1?q=é&r=日本語 👍 שלום \\ \"'";
        assert_eq!(printable(stays), stays);
        assert_eq!(printable("a\tb\nc"), "a\\tb\\nc");
        assert_eq!(printable_lines("a\tb\nc"), "a\tb\nc");
    }

    #[test]
    fn a_json_text_with_escapes_means_the_same() {
        for (obeyed, _) in OBEYED {
            let document = json!({ "a": format!("é{obeyed}"), format!("b{obeyed}"): [1] });
            let text = printable_json(&format!("{document:#}"));
            assert!(!text.chars().any(|c| c != '\n' && is_obeyed(c)), "{text:?}");
            let read: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read, document);
        }
    }
}
