//! `[traces]`: which requests are recorded as spans, and where those are sent (OpenTelemetry's protocol, OTLP).

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::readers::{count, duration, flag, list, parsed, share, timeout};
use super::secret::Secret;
use super::section::Section;
use super::server_url::{Endpoint, ServerUrl};
use super::upstream::ca_file;
use super::value::Value;

/// Whether this program can export traces.
pub const BUILT_IN: bool = cfg!(feature = "otlp");

/// Where collectors take traces, unless the endpoint says something else.
const PATH: &str = "/v1/traces";

/// Stands for the endpoint while the other keys are read.
const NOWHERE: ServerUrl = ServerUrl {
    endpoint: Endpoint::Unix(PathBuf::new()),
    base_path: String::new(),
};

/// The settings of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// Which requests are recorded; a reload changes it without a word to the collector.
    pub sampling: Sampling,
    pub export: Export,
}

/// Which requests are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share of the requests whose client says nothing of a trace, 0 to 1.
    pub share: f64,
    /// Whether the client decides where it says something.
    pub respect_parent: bool,
}

/// How spans are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Its base path is that of the request.
    pub endpoint: ServerUrl,
    /// Fields of the requests, such as Authorization.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Certificates that a collector's must lead to; `None` means those of the public authorities.
    pub ca_file: Option<PathBuf>,
    /// `service.name`; `None` means the instance's own.
    pub service: Option<String>,
    /// Spans that wait at most.
    pub queue: usize,
    /// How long a span waits for others that are sent with it.
    pub interval: Duration,
    /// From the sending of a request to its whole answer.
    pub timeout: Duration,
}

impl Traces {
    /// `None` where it is off, since it has no endpoint.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let mut endpoint: Option<ServerUrl> = None;
        let url = parsed("a URL such as \"http://127.0.0.1:4318/v1/traces\"");
        section.set("endpoint", &mut endpoint, |value| Some(Some(url(value)?)));
        if !BUILT_IN && let Some(place) = section.given("endpoint") {
            section.mistake(place, NOT_BUILT_IN);
        }
        let mut traces = Self::to(endpoint.clone().unwrap_or(NOWHERE));
        let Self { sampling, export } = &mut traces;
        section.set("sample", &mut sampling.share, share);
        section.set("respect_parent", &mut sampling.respect_parent, flag);
        section.set("headers", &mut export.headers, list(header));
        section.set("ca_file", &mut export.ca_file, |value| {
            Some(Some(ca_file(value)?))
        });
        section.set("service", &mut export.service, |value| {
            Some(Some(service(value)?))
        });
        section.set("queue", &mut export.queue, count(1..=1_000_000));
        let interval = duration(Duration::from_millis(1)..=Duration::from_secs(60));
        section.set("interval", &mut export.interval, interval);
        section.set("timeout", &mut export.timeout, timeout);
        endpoint.map(|_| traces)
    }

    /// The defaults, with this collector.
    pub fn to(mut endpoint: ServerUrl) -> Self {
        if endpoint.base_path.is_empty() {
            PATH.clone_into(&mut endpoint.base_path);
        }
        Self {
            sampling: Sampling {
                share: 0.01,
                respect_parent: true,
            },
            export: Export {
                endpoint,
                headers: Vec::new(),
                ca_file: None,
                service: None,
                queue: 2_048,
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(10),
            },
        }
    }
}

const NOT_BUILT_IN: &str = "this program was built without traces: build it with `cargo build --release --features otlp`, or take a \
     package or an image, which have them";

/// `Name: value`. Its mistakes do not show the value.
fn header(value: Value<'_>) -> Option<(HeaderName, Secret)> {
    const WHAT: &str = "a field such as \"Authorization: Bearer ${TOKEN}\"";
    let DeValue::String(_) = value.item() else {
        return value.refuse_type(WHAT);
    };
    let text = value.text(WHAT)?;
    let read = text.split_once(':').and_then(|(name, value)| {
        let value = value.trim_matches([' ', '\t']);
        HeaderValue::from_str(value).ok()?;
        Some((name.trim().parse::<HeaderName>().ok()?, value))
    });
    match read {
        None => value.refuse(format!("`headers` has what is not {WHAT}")),
        Some((name, _)) if OWN.contains(&name.as_str()) => value.refuse(format!(
            "`headers`: {name} is written by the gateway itself"
        )),
        Some((name, text)) => Some((name, Secret::new(text))),
    }
}

/// Fields that say where the message is for, and what it is.
const OWN: [&str; 5] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

fn service(value: Value<'_>) -> Option<String> {
    let text = value.text("a name such as \"books-gateway\"")?;
    match text.trim().is_empty() {
        true => value.refuse_text("is empty"),
        false => Some(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// What is said of a section with these lines.
    fn said(lines: &str) -> Vec<String> {
        let text = format!("[upstream]\nservers = 'http://a'\n[traces]\n{lines}\n");
        let lookup = |name: &str| (name == "TOKEN").then(|| "sesame".to_owned());
        let said = Config::parse(&text, "f", &lookup).err().unwrap_or_default();
        said.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_mistake_says_what_to_write() {
        #[rustfmt::skip]
        let table: [(&str, &[&str]); 11] = [
            ("sample = 0\nrespect_parent = false\nheaders = ['Authorization: Bearer ${TOKEN}', 'X-A:b']", &[]),
            ("sample = 0.25\nservice = 'a'\nqueue = 1\ninterval = '5ms'\ntimeout = '1s'", &[]),
            ("sample = 1", &[]),
            ("sample = 1.5", &["f:4:10: `sample`: \"1.5\" is not from 0 to 1"]),
            ("sample = -1", &["f:4:10: `sample`: \"-1\" is not from 0 to 1"]),
            ("sample = nan", &["f:4:10: `sample`: \"nan\" is not from 0 to 1"]),
            ("sample = '1%'", &["f:4:10: `sample` must be a number from 0 to 1, not a string"]),
            ("headers = 'sesame'", &["f:4:11: `headers` has what is not a field such as \"Authorization: Bearer ${TOKEN}\""]),
            ("headers = \"A: b\\u007f\"", &["f:4:11: `headers` has what is not a field such as \"Authorization: Bearer ${TOKEN}\""]),
            ("headers = 'Content-Type: text/plain'", &["f:4:11: `headers`: content-type is written by the gateway itself"]),
            ("smaple = 1", &["f:4:1: unknown key `smaple` in [traces]; did you mean `sample`?"]),
        ];
        for (lines, expected) in table {
            assert_eq!(said(lines), expected, "{lines}");
        }
        let said = said("endpoint = 'collector:4318'");
        let is_told = |words: &str| said.iter().any(|said| said.contains(words));
        assert!(is_told("is not a URL"), "{said:?}");
    }

    #[cfg(not(feature = "otlp"))]
    #[test]
    fn a_program_without_traces_says_where_to_get_them() {
        let said = said("endpoint = 'http://127.0.0.1:4318'");
        assert_eq!(said, [format!("f:4:12: {}", super::NOT_BUILT_IN)]);
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn an_endpoint_without_a_path_is_that_of_traces() {
        for (endpoint, path) in [
            ("http://127.0.0.1:4318", "/v1/traces"),
            ("https://collector.example/own/", "/own"),
            ("unix:/run/otel.sock", "/v1/traces"),
        ] {
            let text =
                format!("[upstream]\nservers = 'http://a'\n[traces]\nendpoint = '{endpoint}'");
            let config = Config::parse(&text, "f", &|_| None).expect("a valid file");
            let traces = config.traces.expect("an endpoint");
            assert_eq!(traces.export.endpoint.base_path, path, "{endpoint}");
            assert_eq!((traces.sampling.share, traces.export.queue), (0.01, 2_048));
        }
    }
}
