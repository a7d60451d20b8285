//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use super::family::{Data, Kind, Value};

pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn write(families: &[Data]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    for Data {
        name,
        kind,
        help,
        samples,
    } in families
    {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for sample in samples {
            let mut line = |suffix: &str, last: Option<(&str, &str)>, value: &str| {
                let _ = write!(text, "{name}{suffix}");
                let labels = sample.labels.iter().map(|(a, b)| (a.as_str(), b.as_str()));
                let mut next = '{';
                for (label, value) in labels.chain(last) {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                    let value = value.replace('\n', "\\n");
                    let _ = write!(text, "{next}{label}=\"{value}\"");
                    next = ',';
                }
                let end = if next == ',' { "}" } else { "" };
                let _ = writeln!(text, "{end} {value}");
            };
            match &sample.value {
                Value::Whole(value) => line("", None, &value.to_string()),
                Value::Fraction(value) => line("", None, &value.to_string()),
                Value::Times(times) => {
                    for (end, count) in times.cumulative() {
                        let end = match end.is_finite() {
                            true => end.to_string(),
                            false => "+Inf".to_owned(),
                        };
                        line("_bucket", Some(("le", &end)), &count.to_string());
                    }
                    line("_sum", None, &times.sum_in_seconds().to_string());
                    line("_count", None, &times.count.to_string());
                }
            }
        }
    }
    text
}
