//! A page of metrics, in Prometheus' text format or as its protocol buffers, which alone can carry native histograms.

mod family;
mod protobuf;
mod text;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

pub use self::family::Kind;
use self::family::{Data, Sample, Value};
use crate::telemetry::histogram::Distribution;

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Data>,
}

impl Page {
    /// A metric without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// A metric whose samples differ in their labels.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> Family<'_> {
        self.families.push(Data {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            samples: Vec::new(),
        });
        Family {
            samples: self.families.last_mut().map(|data| &mut data.samples),
        }
    }

    /// The page as a client with these fields reads it best.
    pub(super) fn into_content(self, request: &HeaderMap) -> (&'static str, Vec<u8>) {
        match prefers_protobuf(request) {
            true => (protobuf::MEDIA_TYPE, protobuf::write(&self.families)),
            false => (text::MEDIA_TYPE, text::write(&self.families).into_bytes()),
        }
    }
}

/// The samples of one metric.
#[derive(Debug)]
pub struct Family<'a> {
    samples: Option<&'a mut Vec<Sample>>,
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: u64) -> &mut Self {
        self.add(labels, Value::Whole(value))
    }

    pub fn fraction(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.add(labels, Value::Fraction(value))
    }

    pub fn times(&mut self, labels: &[(&str, &str)], times: Distribution) -> &mut Self {
        self.add(labels, Value::Times(Box::new(times)))
    }

    fn add(&mut self, labels: &[(&str, &str)], value: Value) -> &mut Self {
        let labels = labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels = labels.collect();
        if let Some(samples) = &mut self.samples {
            samples.push(Sample { labels, value });
        }
        self
    }
}

/// Whether protocol buffers are at least as welcome as text (RFC 9110 §12.5.1): Prometheus asks for them where it is set to
/// scrape native histograms.
fn prefers_protobuf(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT).iter().map(HeaderValue::to_str);
    let mut quality = [0.0f32; 2];
    for range in values.flatten().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let which = match parts.next().unwrap_or_default() {
            media if media.eq_ignore_ascii_case("application/vnd.google.protobuf") => {
                let is_known = |part: &str| part == "proto=io.prometheus.client.MetricFamily";
                let is_delimited = |part: &str| part == "encoding=delimited";
                let all = range.split(';').map(str::trim);
                if !all.clone().any(is_known) || !all.clone().any(is_delimited) {
                    continue;
                }
                0
            }
            "text/plain" | "text/*" | "*/*" => 1,
            _ => continue,
        };
        let given = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        quality[which] = given.unwrap_or(1.0f32).max(quality[which]);
    }
    quality[0] > 0.0 && quality[0] >= quality[1]
}

#[cfg(test)]
mod tests;
