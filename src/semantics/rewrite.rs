//! The path under which an API knows what its clients know under another: `strip_prefix` and `rewrite` of a route.

use super::path_form::{Named, PathForm};

/// Two names of the same resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The route's `match`.
    client: PathForm,
    api: PathForm,
    /// Whether the API could know the prefix that it does not see (X-Forwarded-Prefix); empty where there is none.
    pub stripped: Box<str>,
}

impl Rewrite {
    pub fn new(client: PathForm, api: PathForm, stripped: &str) -> Self {
        Self {
            client,
            api,
            stripped: stripped.into(),
        }
    }

    /// How much of an API's path its form says: of two rewrites to a path, the one that says more is meant.
    pub fn specificity(&self) -> usize {
        self.api.literal_octets()
    }

    /// The path that the API gets for `path`, which the route matches.
    pub fn to_api(&self, path: &str) -> Option<String> {
        self.api.write(&self.client.read(path)?)
    }

    /// Whether an API that reads `path` as the path it gets stays where the rewrite leads.
    pub fn may_lead_to(&self, path: &str) -> bool {
        self.api.is_begun_by(path)
    }

    /// The path under which clients know the API's `path`; `None` where the route leads to no such path. What the API's path
    /// does not say is as in `known`, which another path of clients said.
    pub fn to_client(&self, path: &str, known: &Named<'_>) -> Option<String> {
        let mut named = self.api.read(path)?;
        named.extend(known.iter().copied());
        self.client.write(&named)
    }

    /// What a path of clients says of the names.
    pub fn named<'a>(&'a self, path: &'a str) -> Option<Named<'a>> {
        self.client.read(path)
    }

    /// Whether a path that an API wrote is the clients' own already: it could be, and that says more of it than the API's
    /// form does. An API that was told the prefix which it does not see puts it before its paths.
    pub fn is_clients_own(&self, path: &str) -> bool {
        self.client.literal_octets() > self.api.literal_octets() && self.client.read(path).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(client: &str, api: &str) -> Rewrite {
        let form = |text| PathForm::parse(text).expect("a form");
        Rewrite::new(form(client), form(api), "")
    }

    #[test]
    fn a_path_is_known_under_another_on_each_side() {
        // match, rewrite, clients' path, API's path, and whether that leads back.
        for (client, api, path, sent, back) in [
            (
                "/v1/books/{id}",
                "/v2/books/{id}",
                "/v1/books/7",
                "/v2/books/7",
                true,
            ),
            ("/v1/{*rest}", "/{*rest}", "/v1/books/7", "/books/7", true),
            ("/v1/{*rest}", "/{*rest}", "/v1/", "/", true),
            ("/{*rest}", "/api/{*rest}", "/", "/api/", true),
            (
                "/{*rest}",
                "/api/{*rest}",
                "/a%2Fb//c",
                "/api/a%2Fb//c",
                true,
            ),
            (
                "/books/{id}",
                "/items/{id}.json",
                "/books/7",
                "/items/7.json",
                true,
            ),
            (
                "/b/{year}/{id}",
                "/b/{id}/of/{year}",
                "/b/1949/7",
                "/b/7/of/1949",
                true,
            ),
            ("/b/{id}", "/b/{id}/{id}", "/b/7", "/b/7/7", true),
            ("/b\u{fc}cher", "/books", "/b%c3%bccher", "/books", true),
            ("/books", "/b\u{fc}cher", "/books", "/b%C3%BCcher", true),
            // What the API does not see cannot be told from its path.
            (
                "/{tenant}/books/{id}",
                "/books/{id}",
                "/acme/books/7",
                "/books/7",
                false,
            ),
            ("/old/{*rest}", "/gone", "/old/a/b", "/gone", false),
        ] {
            let rewrite = rewrite(client, api);
            assert_eq!(rewrite.to_api(path).as_deref(), Some(sent), "{path}");
            let led_back = rewrite.to_client(sent, &Named::new());
            assert_eq!(led_back.is_some(), back, "{sent}");
            if let Some(known) = led_back {
                assert_eq!(rewrite.to_api(&known).as_deref(), Some(sent), "{known}");
            }
            // The path that the request came to says it.
            let known = rewrite.named(path).expect("a path of clients");
            let led_back = rewrite.to_client(sent, &known).expect("a path");
            assert_eq!(
                rewrite.to_api(&led_back).as_deref(),
                Some(sent),
                "{led_back}"
            );
        }
        let books = rewrite("/v1/books/{id}", "/v2/books/{id}");
        assert_eq!(books.to_api("/v2/books/7"), None);
        assert_eq!(books.to_client("/v1/books/7", &Named::new()), None);
    }

    #[test]
    fn a_path_that_could_be_either_s_is_that_of_the_more_specific_form() {
        for (client, api, path, own) in [
            ("/v1/{*rest}", "/{*rest}", "/v1/books/7", true),
            ("/v1/{*rest}", "/{*rest}", "/books/7", false),
            ("/{*rest}", "/api/{*rest}", "/api/books", false),
            ("/v1/{*rest}", "/v2/{*rest}", "/v2/books", false),
            ("/v1/{*rest}", "/v2/{*rest}", "/v1/books", false),
        ] {
            assert_eq!(
                rewrite(client, api).is_clients_own(path),
                own,
                "{client} {api} {path}"
            );
        }
    }
}
