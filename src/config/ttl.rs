//! `ttl`: one lifetime, or lifetimes by status.

use std::borrow::Cow;

use http::StatusCode;
use toml::Spanned;
use toml::de::DeValue;

use super::readers::{lifetime, or_off};
use super::value::Value;
use crate::semantics::policy::{OperatorTtl, TtlMode};
use crate::semantics::time::DeltaSeconds;

/// The lifetimes of a section; a route begins with those of `[cache]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ttl {
    /// For the statuses of `statuses`; `None` leaves them to the API.
    pub default: Option<DeltaSeconds>,
    /// For these, whatever `default` says.
    by_status: Vec<(StatusCode, Option<DeltaSeconds>)>,
}

impl Ttl {
    /// `"5m"`, `"off"`, or `{ 200 = "5m", 404 = "30s", default = "off" }`.
    pub fn read(value: Value<'_>) -> Option<Self> {
        let DeValue::Table(table) = value.item() else {
            return Some(Self {
                default: or_off(lifetime)(value)?,
                by_status: Vec::new(),
            });
        };
        let mut ttl = Some(Self::default());
        for (key, item) in table {
            let of = status(value, key);
            let read = or_off(lifetime)(Value { item, ..value });
            ttl = ttl.zip(of.zip(read)).map(|(mut ttl, (of, lifetime))| {
                match of {
                    Some(status) => ttl.by_status.push((status, lifetime)),
                    None => ttl.default = lifetime,
                }
                ttl
            });
        }
        ttl
    }

    pub fn is_off(&self) -> bool {
        self.default.is_none() && self.by_status.iter().all(|(_, ttl)| ttl.is_none())
    }

    /// As the rules read it; `None` where it says nothing of any status.
    pub fn finish(self, mode: TtlMode, statuses: &[StatusCode]) -> Option<OperatorTtl> {
        if self.is_off() {
            return None;
        }
        let is_listed = |status: &StatusCode| self.by_status.iter().any(|(of, _)| of == status);
        let default = statuses.iter().filter(|status| !is_listed(status));
        let default = default.filter_map(|status| Some((*status, self.default?)));
        let listed = self.by_status.iter();
        let listed = listed.filter_map(|(status, ttl)| Some((*status, (*ttl)?)));
        Some(OperatorTtl {
            mode,
            lifetimes: default.chain(listed).collect(),
        })
    }
}

/// The status that a key names; the inner `None` for `default`.
fn status(value: Value<'_>, key: &Spanned<Cow<'_, str>>) -> Option<Option<StatusCode>> {
    let name: &str = key.get_ref();
    if name == "default" {
        return Some(None);
    }
    match name.parse().map(StatusCode::from_u16) {
        // It is never stored itself: it updates what is.
        Ok(Ok(status)) if status.as_u16() >= 200 && status != StatusCode::NOT_MODIFIED => {
            Some(Some(status))
        }
        _ => {
            let message = format!(
                "`{name}` in `ttl` is not the status of a response that is stored; write statuses and `default`, as in \
                 `ttl = {{ 200 = \"5m\", 404 = \"30s\", default = \"off\" }}`"
            );
            value.report.mistake(key.span(), message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Mistake};

    fn parse(ttl: &str) -> Result<Config, Vec<Mistake>> {
        let text = format!("[upstream]\nservers = 'http://a'\n[cache]\n{ttl}\n");
        Config::parse(&text, "c.toml", &|_| None)
    }

    #[test]
    fn each_status_has_its_lifetime() {
        type Lifetimes = &'static [(u16, Option<u32>)];
        #[rustfmt::skip]
        let table: [(&str, Lifetimes); 6] = [
            ("ttl = '5m'", &[(200, Some(300)), (301, Some(300)), (404, None)]),
            ("ttl = { default = '5m', 404 = '30s' }", &[(200, Some(300)), (410, Some(300)), (404, Some(30)), (500, None)]),
            ("ttl = { 404 = '30s' }", &[(200, None), (404, Some(30))]),
            ("ttl = { 200 = '5m', 404 = '30s', default = 'off' }", &[(200, Some(300)), (301, None), (404, Some(30))]),
            ("ttl = { default = '5m', 301 = 'off' }", &[(200, Some(300)), (301, None)]),
            ("ttl = { default = '5m', 404 = '30s' }\nstatuses = [200]", &[(200, Some(300)), (301, None), (404, Some(30))]),
        ];
        for (ttl, expected) in table {
            let config = parse(ttl).expect(ttl);
            let policy = config.routes.default_route();
            for (status, lifetime) in expected {
                let status = http::StatusCode::from_u16(*status).expect("a status");
                let found = policy
                    .cache
                    .ttl
                    .as_ref()
                    .and_then(|ttl| ttl.lifetime(status));
                assert_eq!(
                    found.map(|found| found.as_secs()),
                    *lifetime,
                    "{ttl}: {status}"
                );
            }
        }
        for off in ["ttl = 'off'", "ttl = { default = 'off' }", "ttl = {}"] {
            let config = parse(off).expect(off);
            assert_eq!(config.routes.default_route().cache.ttl, None, "{off}");
        }
    }

    #[test]
    fn a_mistake_names_its_place() {
        for (ttl, place) in [
            ("ttl = { 2000 = '5m' }", "c.toml:4:9"),
            ("ttl = { 304 = '5m' }", "c.toml:4:9"),
            ("ttl = { 404 = '30s', others = '5m' }", "c.toml:4:22"),
            ("ttl = { 404 = '30' }", "c.toml:4:15"),
        ] {
            let mistakes = parse(ttl).expect_err(ttl);
            let [mistake] = mistakes.as_slice() else {
                panic!("{mistakes:?}")
            };
            assert!(mistake.to_string().starts_with(place), "{mistake}");
        }
    }
}
