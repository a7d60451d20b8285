use std::time::Duration;

use super::*;
use crate::telemetry::histogram::Histogram;

fn text(page: &Page) -> String {
    super::text::write(&page.families)
}

#[test]
fn a_page_is_what_prometheus_reads() {
    let mut page = Page::default();
    page.single("a_total", Kind::Counter, "One\\two\nthree.", u64::MAX);
    page.family("b", Kind::Gauge, "Four.")
        .sample(&[("c", "\"d\"\\\n")], 0)
        .sample(&[("c", "é"), ("e", "")], 1)
        .fraction(&[], 0.5);
    assert_eq!(
        text(&page),
        "# HELP a_total One\\\\two\\nthree.\n# TYPE a_total counter\n\
         a_total 18446744073709551615\n\
         # HELP b Four.\n# TYPE b gauge\n\
         b{c=\"\\\"d\\\"\\\\\\n\"} 0\nb{c=\"é\",e=\"\"} 1\nb 0.5\n"
    );
}

fn times(micros: &[u64]) -> Distribution {
    let (histogram, mut times) = (Histogram::default(), Distribution::default());
    for micros in micros {
        histogram.record(Duration::from_micros(*micros));
    }
    times.add(&histogram);
    times
}

#[test]
fn the_buckets_of_a_histogram_are_cumulative() {
    let mut page = Page::default();
    page.family("t_seconds", Kind::Histogram, "Times.")
        .times(&[("a", "b")], times(&[20, 100, 3_000_000, 70_000_000]));
    let text = text(&page);
    for line in [
        "# TYPE t_seconds histogram",
        "t_seconds_bucket{a=\"b\",le=\"0.000025\"} 1",
        "t_seconds_bucket{a=\"b\",le=\"0.00005\"} 1",
        "t_seconds_bucket{a=\"b\",le=\"0.0001\"} 2",
        "t_seconds_bucket{a=\"b\",le=\"2.5\"} 2",
        "t_seconds_bucket{a=\"b\",le=\"5\"} 3",
        "t_seconds_bucket{a=\"b\",le=\"60\"} 3",
        "t_seconds_bucket{a=\"b\",le=\"+Inf\"} 4",
        "t_seconds_sum{a=\"b\"} 73.00012",
        "t_seconds_count{a=\"b\"} 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn protocol_buffers_are_for_those_who_ask_for_them() {
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    for (accept, expected) in [
        (String::new(), false),
        ("*/*".to_owned(), false),
        // Prometheus 2.42, without and with native histograms.
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1".to_owned(),
            false,
        ),
        (
            format!("{protobuf},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"),
            true,
        ),
        (format!("text/plain;q=0.5, {protobuf};q=0.4"), false),
        (format!("{protobuf};q=0"), false),
        ("application/vnd.google.protobuf".to_owned(), false),
    ] {
        let fields = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        assert_eq!(prefers_protobuf(&fields), expected, "{accept}");
    }
}

#[test]
fn a_page_of_protocol_buffers_is_as_the_schema_says() {
    let mut page = Page::default();
    page.family("a_total", Kind::Counter, "A.")
        .sample(&[("b", "c")], 1);
    let expected = [
        &[30u8][..],
        b"\x0a\x07a_total\x12\x02A.\x18\x00",
        // Metric { label { name: "b", value: "c" }, counter { value: 1.0 } }
        b"\x22\x13\x0a\x06\x0a\x01b\x12\x01c\x1a\x09\x09\0\0\0\0\0\0\xf0\x3f",
    ]
    .concat();
    let written = protobuf::write(&page.families);
    assert_eq!(written[1..], expected[1..]);
    assert_eq!(usize::from(written[0]), written.len() - 1);
}

#[test]
fn a_native_histogram_has_spans_and_differences() {
    // 0.5 s and 1 s end the buckets -8 and 0 of schema 3; 0.52 s is in the bucket -7.
    let page = [(500_000, 3), (520_000, 1), (1_000_000, 2)];
    let micros: Vec<_> = page
        .iter()
        .flat_map(|(micros, n)| vec![*micros; *n])
        .collect();
    let mut metrics = Page::default();
    metrics
        .family("t", Kind::Histogram, "T.")
        .times(&[], times(&micros));
    let written = protobuf::write(&metrics.families);
    let spans_and_deltas = [
        // offset -8, length 2; offset 6 behind those, length 1
        &b"\x62\x04\x08\x0f\x10\x02\x62\x04\x08\x0c\x10\x01"[..],
        // 3, -2, +1
        b"\x6a\x03\x06\x03\x02",
    ]
    .concat();
    assert!(written.ends_with(&spans_and_deltas), "{written:x?}");
}
