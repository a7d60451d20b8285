//! `tiers`: the second tiers in which responses of a route are kept and looked for.

use std::ops::Range;

use super::readers::list;
use super::section::{Section, nearest};
use super::value::Value;

const DISK: &str = "disk";
const SHARED: &str = "shared";

/// A choice among the second tiers, of those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTiers {
    /// That of `[disk]`.
    pub disk: bool,
    /// That of `[valkey]`.
    pub shared: bool,
}

/// All that are configured.
impl Default for RouteTiers {
    fn default() -> Self {
        Self {
            disk: true,
            shared: true,
        }
    }
}

impl RouteTiers {
    /// Their names, as they are written.
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.disk, DISK), (self.shared, SHARED)];
        let chosen = all.into_iter().filter(|(is_chosen, _)| *is_chosen);
        chosen.map(|(_, name)| name).collect()
    }

    /// A list of names; an empty one for memory alone.
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        let names = list(|value: Value<'_>| {
            value.parsed("a list of tiers, of \"disk\" and \"shared\"", name)
        })(value)?;
        Some(Self {
            disk: names.contains(&DISK),
            shared: names.contains(&SHARED),
        })
    }

    /// Warns of what `section` names at `given` that is not `configured`.
    pub(super) fn warn(self, section: &Section<'_>, given: &Range<usize>, configured: Self) {
        for (is_without_effect, name, table, key) in [
            (self.disk && !configured.disk, DISK, "[disk]", "path"),
            (self.shared && !configured.shared, SHARED, "[valkey]", "url"),
        ] {
            if is_without_effect {
                let message =
                    format!("`tiers`: \"{name}\" has no effect: there is no `{key}` in {table}");
                section.warning(given.clone(), message);
            }
        }
    }
}

fn name(text: &str) -> Result<&'static str, String> {
    let all = [DISK, SHARED];
    if let Some(name) = all.into_iter().find(|name| *name == text) {
        return Ok(name);
    }
    // What operators may call it by its section.
    let near = match text.to_lowercase().as_str() {
        "valkey" | "redis" => Some(SHARED),
        _ => nearest(text, &all),
    };
    Err(match near {
        Some(near) => format!("is not a tier; did you mean \"{near}\"?"),
        None => format!(
            "is not a tier; there are \"{DISK}\" and \"{SHARED}\", and an empty list is for memory alone"
        ),
    })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const BEFORE: &str = "[upstream]\nservers = 'http://a'\n";

    fn parse(text: &str) -> Result<Config, Vec<String>> {
        let told = |mistakes: Vec<crate::config::Mistake>| -> Vec<String> {
            mistakes.iter().map(ToString::to_string).collect()
        };
        Config::parse(&format!("{BEFORE}{text}"), "f", &|_| None).map_err(told)
    }

    #[test]
    fn a_route_has_the_tiers_that_it_names_or_those_of_cache_or_all() {
        for (text, names) in [
            ("[[route]]\nmatch = '/'", &["disk", "shared"][..]),
            ("[[route]]\nmatch = '/'\ntiers = []", &[]),
            ("[[route]]\nmatch = '/'\ntiers = 'shared'", &["shared"]),
            (
                "[[route]]\nmatch = '/'\ntiers = ['shared', 'disk']",
                &["disk", "shared"],
            ),
            ("[cache]\ntiers = []\n[[route]]\nmatch = '/'", &[]),
            (
                "[cache]\ntiers = []\n[[route]]\nmatch = '/'\ntiers = ['disk']",
                &["disk"],
            ),
        ] {
            let config = parse(text).expect(text);
            assert_eq!(config.routes.listed()[0].tiers.names(), names, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_the_nearest_one() {
        for (value, told) in [
            (
                "['dsik']",
                "10: `tiers`: \"dsik\" is not a tier; did you mean \"disk\"?",
            ),
            (
                "['disk', 'sharde']",
                "18: `tiers`: \"sharde\" is not a tier; did you mean \"shared\"?",
            ),
            (
                "'valkey'",
                "9: `tiers`: \"valkey\" is not a tier; did you mean \"shared\"?",
            ),
            (
                "['memory']",
                "10: `tiers`: \"memory\" is not a tier; there are \"disk\" and \"shared\", and an empty list is for memory alone",
            ),
            (
                "[1]",
                "10: `tiers` must be a list of tiers, of \"disk\" and \"shared\", not a whole number",
            ),
        ] {
            let text = format!("[[route]]\nmatch = '/'\ntiers = {value}");
            let mistakes = parse(&text).expect_err(value);
            assert_eq!(mistakes, [format!("f:5:{told}")]);
        }
    }

    #[test]
    fn a_tier_that_is_not_configured_is_said_to_have_no_effect() {
        let disk = "f:5:9: warning: `tiers`: \"disk\" has no effect: there is no `path` in [disk]";
        let shared =
            "f:5:9: warning: `tiers`: \"shared\" has no effect: there is no `url` in [valkey]";
        let has_disk = "[disk]\npath = '/tmp/b'\n";
        let has_shared = "[valkey]\nurl = 'redis://a'\nnamespace = 'n'\n";
        for (text, told) in [
            (
                "[[route]]\nmatch = '/'\ntiers = ['disk', 'shared']\n".to_owned(),
                &[disk, shared][..],
            ),
            ("[[route]]\nmatch = '/'\ntiers = []\n".to_owned(), &[]),
            (
                format!("[[route]]\nmatch = '/'\ntiers = ['disk', 'shared']\n{has_disk}"),
                &[shared],
            ),
            (
                format!("[[route]]\nmatch = '/'\ntiers = 'disk'\n{has_disk}"),
                &[],
            ),
            (
                format!("[[route]]\nmatch = '/'\ntiers = ['disk', 'shared']\n{has_shared}"),
                &[disk],
            ),
            // The default, written out, is no wish for each of them.
            ("[cache]\n\ntiers = ['disk', 'shared']\n".to_owned(), &[]),
            ("[cache]\n\ntiers = ['disk']\n".to_owned(), &[disk]),
        ] {
            let config = parse(&text).expect(&text);
            let about = |warning: &&crate::config::Mistake| warning.message.contains("`tiers`");
            let warnings = config.warnings.iter().filter(about);
            let warnings: Vec<_> = warnings
                .map(|warning| {
                    format!(
                        "f:{}:{}: warning: {}",
                        warning.place.as_ref().map_or(0, |place| place.line),
                        warning.place.as_ref().map_or(0, |place| place.column),
                        warning.message
                    )
                })
                .collect();
            assert_eq!(warnings, told, "{text}");
        }
    }
}
