//! `strip_prefix` and `rewrite` of a route: the path that its API gets in the place of the client's.

use std::borrow::Cow;

use toml::de::DeValue;

use super::path_template::{checked, rewritten};
use super::readings::{is_plain, readings};
use super::route::RoutePolicy;
use super::section::Section;
use crate::semantics::path_form::PathForm;
use crate::semantics::rewrite::Rewrite;

impl RoutePolicy {
    /// The path that the API gets for `path`. `None` where the route rewrites paths, and an API that decodes `%2F` and
    /// resolves `..` would read this one as one outside of what the rewrite begins with.
    pub fn api_path<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let Some(rewrite) = &self.rewrite else {
            return Some(Cow::Borrowed(path));
        };
        if path == "*" {
            return Some(Cow::Borrowed(path));
        }
        let sent = rewrite.to_api(path)?;
        let leads_in = |path: &String| rewrite.may_lead_to(path);
        let stays = is_plain(path) || readings(&sent).iter().all(leads_in);
        stays.then_some(Cow::Owned(sent))
    }
}

/// Reads both keys of a route with this `match`.
pub(super) fn read(section: &mut Section<'_>, pattern: &str) -> Option<Rewrite> {
    let prefix = section.value("strip_prefix");
    let template = section.value("rewrite");
    let (value, prefix) = match (prefix, template) {
        (None, None) => return None,
        (Some(value), None) => (value, true),
        (None, Some(value)) => (value, false),
        (Some(value), Some(_)) => {
            return value.refuse(
                "`strip_prefix` and `rewrite` both say which path the API gets: leave one out",
            );
        }
    };
    // Braces of a template would be taken for a variable's.
    let DeValue::String(text) = value.item() else {
        return value.refuse_type("a path such as \"/v1\"");
    };
    // What is wrong with `match` is noted elsewhere.
    let client = PathForm::parse(pattern).ok()?;
    let mut names: Vec<&str> = client.names().collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let name = twice[0];
        return value.refuse_text(format!(
            "cannot tell which of two `{{{name}}}` of the route's `match` is meant; give them two names"
        ));
    }
    let read = match prefix {
        true => stripped(text, pattern, &client),
        false => rewritten(text, pattern, &names),
    };
    match read {
        Ok(api) if api == client => {
            value.warn_text("is the path that the API gets anyway: it changes nothing");
            None
        }
        Ok(api) => Some(Rewrite::new(client, api, if prefix { text } else { "" })),
        Err(fault) => value.refuse_text(fault),
    }
}

fn stripped(text: &str, pattern: &str, client: &PathForm) -> Result<PathForm, String> {
    checked(text)?;
    if text.contains(['{', '}']) {
        return Err("has a parameter; write what the API gets as `rewrite`".to_owned());
    }
    if text == "/" {
        return Err("takes nothing off; leave it out".to_owned());
    }
    if let Some(segments) = text.strip_suffix('/') {
        return Err(format!("ends with a slash; write \"{segments}\""));
    }
    client.below(text).ok_or_else(|| {
        format!("is not what the route's `match`, \"{pattern}\", begins with; write `match = \"{text}/{{*rest}}\"`")
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Asked, Config};

    fn parse(route: &str) -> Result<Config, Vec<String>> {
        let text = format!("[upstream]\nservers = 'http://a'\n[[route]]\n{route}\n");
        let config = Config::parse(&text, "f", &|_| None);
        config.map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_rewrite_without_sense_is_refused_with_its_place_and_the_cure() {
        let v1 = "match = '/v1/{*rest}'\n";
        let book = "match = '/books/{id}'\n";
        for (route, key, told) in [
            (
                v1,
                "strip_prefix = 'v1'",
                "16: `strip_prefix`: \"v1\" does not begin with a slash",
            ),
            (
                v1,
                "strip_prefix = '/v1/'",
                "16: `strip_prefix`: \"/v1/\" ends with a slash; write \"/v1\"",
            ),
            (
                v1,
                "strip_prefix = '/'",
                "16: `strip_prefix`: \"/\" takes nothing off; leave it out",
            ),
            (
                v1,
                "strip_prefix = '/v2'",
                "16: `strip_prefix`: \"/v2\" is not what the route's `match`, \"/v1/{*rest}\", begins with; write `match = \"/v2/{*rest}\"`",
            ),
            (
                v1,
                "strip_prefix = '/v'",
                "16: `strip_prefix`: \"/v\" is not what the route's `match`, \"/v1/{*rest}\", begins with; write `match = \"/v/{*rest}\"`",
            ),
            (
                v1,
                "strip_prefix = '/{v}'",
                "16: `strip_prefix`: \"/{v}\" has a parameter; write what the API gets as `rewrite`",
            ),
            (
                v1,
                "strip_prefix = 1",
                "16: `strip_prefix` must be a path such as \"/v1\", not a whole number",
            ),
            (
                v1,
                "strip_prefix = '/v1'\nrewrite = '/'",
                "16: `strip_prefix` and `rewrite` both say which path the API gets: leave one out",
            ),
            (
                v1,
                "rewrite = '/v2/{*rest}'",
                "11: `rewrite`: \"/v2/{*rest}\" has a star that only `match` has; write `{rest}`",
            ),
            (
                v1,
                "rewrite = '/v2/{rset}'",
                "11: `rewrite`: \"/v2/{rset}\" has a parameter `{rset}` that is not in the route's `match`; did you mean `{rest}`?",
            ),
            (
                book,
                "rewrite = '/v2/{isbn}'",
                "11: `rewrite`: \"/v2/{isbn}\" has a parameter `{isbn}` that is not in the route's `match`; that has `{id}`",
            ),
            (
                "match = '/books'\n",
                "rewrite = '/v2/{id}'",
                "11: `rewrite`: \"/v2/{id}\" has a parameter `{id}` that is not in the route's `match`; that has no parameter",
            ),
            (
                v1,
                "rewrite = '/v2/{rest}/all'",
                "11: `rewrite`: \"/v2/{rest}/all\" has something after its `{*…}`",
            ),
            (
                v1,
                "rewrite = '/v2/x{rest}'",
                "11: `rewrite`: \"/v2/x{rest}\" has something beside `{rest}`, which stands for whole segments",
            ),
            (
                book,
                "rewrite = '/v2/{id'",
                "11: `rewrite`: \"/v2/{id\" has braces that do not enclose a name, as in `{id}` or `{*rest}`",
            ),
            (
                book,
                "rewrite = '/v2?id={id}'",
                "11: `rewrite`: \"/v2?id={id}\" has a query or fragment; the API gets the query of the request",
            ),
            (
                book,
                "rewrite = 'http://b/v2/{id}'",
                "11: `rewrite`: \"http://b/v2/{id}\" names a server; write the path alone, and the API in `upstream`",
            ),
            (
                book,
                "rewrite = '/v2/../{id}'",
                "11: `rewrite`: \"/v2/../{id}\" has a segment `.` or `..`, which means another path",
            ),
            (
                book,
                "rewrite = '/v2/$1*'",
                "11: `rewrite`: \"/v2/$1*\" has a `*`, which stands for itself; write `{id}` for a segment, or `{*rest}` at the end for all that follows",
            ),
            (
                book,
                "rewrite = '/v2/a b'",
                "11: `rewrite`: \"/v2/a b\" has white space, which paths have only as %20",
            ),
            (
                "match = '/{a}/{a}'\n",
                "rewrite = '/{a}'",
                "11: `rewrite`: \"/{a}\" cannot tell which of two `{a}` of the route's `match` is meant; give them two names",
            ),
            (
                "host = 'a'\n",
                "strip_prefix = '/v1'",
                "16: `strip_prefix`: \"/v1\" is not what the route's `match`, \"/{*rest}\", begins with; write `match = \"/v1/{*rest}\"`",
            ),
        ] {
            let faults = parse(&format!("{route}{key}")).expect_err(key);
            assert_eq!(faults, [format!("f:5:{told}")], "{route}{key}");
        }
        let config = parse("match = '/a/{b}'\nrewrite = '/a/{b}'").expect("no mistake");
        assert!(config.warnings[0].message.contains("changes nothing"));
    }

    #[test]
    fn the_api_gets_no_path_outside_of_what_the_rewrite_begins_with() {
        for (route, path, sent) in [
            (
                "match = '/v1/{*rest}'\nstrip_prefix = '/v1'",
                "/v1/a%2F..//b;c",
                Some("/a%2F..//b;c"),
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/a/../b",
                Some("/t/a/../b"),
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/../v1/x",
                None,
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/a/%2e%2e/%2E./v1/x",
                None,
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/..%2fv1/x",
                None,
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/..;a/v1/x",
                None,
            ),
            (
                "match = '/v1/{*rest}'\nrewrite = '/t/{rest}'",
                "/v1/..\\v1/x",
                None,
            ),
            (
                "match = '/p/{id}'\nrewrite = '/projects/{id}/detail'",
                "/p/a%2Fb",
                Some("/projects/a%2Fb/detail"),
            ),
            (
                "match = '/p/{id}'\nrewrite = '/projects/{id}/detail'",
                "/p/..",
                None,
            ),
        ] {
            let config = parse(route).expect(route);
            let policy = &config.routes.listed()[0];
            assert_eq!(policy.api_path(path).as_deref(), sent, "{route} {path}");
            let asked = Asked {
                host: "a",
                method: &http::Method::GET,
                path,
            };
            // Where the path could be another route's, the cache stays out of it, and the path is rewritten all the same.
            let found = config.routes.find(asked);
            assert_eq!(found.rewrite, policy.rewrite, "{path}");
        }
    }
}
