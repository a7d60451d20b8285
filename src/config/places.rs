//! Where the file has the values of a route's keys, for `explain`.

use std::sync::Arc;

use super::section::Section;

/// The places of the keys of a route and of `[cache]`, from which routes take what they do not say themselves.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// As the operator gave its name; `None` where there is no file.
    pub file: Option<Arc<str>>,
    keys: Vec<KeyPlace>,
}

/// The place of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    /// As it is written.
    pub key: Box<str>,
    /// `[cache]` or `[[route]]`.
    pub section: Box<str>,
    /// From 1.
    pub line: usize,
}

/// Two policies that mean the same are the same, wherever they are written.
impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Takes over the keys of `section`, which go before the same ones of the section before.
    pub(super) fn take_over(&mut self, section: &Section<'_>) {
        self.file = section.file();
        for (key, line) in section.lines() {
            self.keys.retain(|known| *known.key != *key);
            self.keys.push(KeyPlace {
                key: key.into(),
                section: section.title().into(),
                line,
            });
        }
    }

    /// Where this key has its value; `None` where it has its default.
    pub fn of(&self, key: &str) -> Option<&KeyPlace> {
        self.keys.iter().find(|known| *known.key == *key)
    }

    /// `config.toml:12`, or the line alone where the file has no name.
    pub fn at(&self, line: usize) -> String {
        match &self.file {
            Some(file) => format!("{file}:{line}"),
            None => format!("line {line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_route_s_values_have_the_places_of_its_own_keys_before_those_of_cache() {
        let text = "[upstream]\nservers = 'http://a'\n[cache]\nttl = '1m'\netag = 'missing'\n\
                    [cache.query]\nsort = true\n[[route]]\nmatch = '/a'\nttl = '2m'\n[[route]]\nmatch = '/b'\n";
        let config = Config::parse(text, "f.toml", &|_| None).expect("a valid file");
        let [a, b] = config.routes.listed() else {
            panic!("two routes");
        };
        let at = |route: &crate::config::RoutePolicy, key: &str| {
            let place = route.places.of(key)?;
            Some(format!("{} {}", place.section, route.places.at(place.line)))
        };
        for (route, key, place) in [
            (a, "ttl", Some("[[route]] f.toml:10")),
            (b, "ttl", Some("[cache] f.toml:4")),
            (a, "etag", Some("[cache] f.toml:5")),
            (a, "query", Some("[cache] f.toml:6")),
            (a, "bypass", None),
        ] {
            assert_eq!(at(route, key).as_deref(), place, "{} {key}", route.name);
        }
        assert_eq!(
            at(config.routes.default_route(), "ttl").as_deref(),
            Some("[cache] f.toml:4")
        );
    }
}
