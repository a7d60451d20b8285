//! Prometheus' protocol buffers, delimited: `io.prometheus.client.MetricFamily` of `prometheus/client_model`. Histograms have
//! their classic buckets and, from the same measurements, those of a native histogram of schema 3.

use super::family::{Data, Kind, Sample, Value};
use crate::telemetry::histogram::{Distribution, native_index};

pub(super) const MEDIA_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Eight buckets per doubling.
const SCHEMA: i64 = 3;

pub(super) fn write(families: &[Data]) -> Vec<u8> {
    let mut page = Vec::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let mut message = Message::default();
        message.text(1, &family.name);
        message.text(2, &family.help);
        message.varint(
            3,
            match family.kind {
                Kind::Counter => 0,
                Kind::Gauge => 1,
                Kind::Histogram => 4,
            },
        );
        for sample in &family.samples {
            message.message(4, &metric(family.kind, sample));
        }
        varint(message.0.len() as u64, &mut page);
        page.extend_from_slice(&message.0);
    }
    page
}

fn metric(kind: Kind, sample: &Sample) -> Message {
    let mut metric = Message::default();
    for (name, value) in &sample.labels {
        let mut label = Message::default();
        label.text(1, name);
        label.text(2, value);
        metric.message(1, &label);
    }
    let number = match &sample.value {
        Value::Whole(value) => *value as f64,
        Value::Fraction(value) => *value,
        Value::Times(times) => {
            metric.message(7, &histogram(times));
            return metric;
        }
    };
    let mut value = Message::default();
    value.double(1, number);
    let field = if kind == Kind::Counter { 3 } else { 2 };
    metric.message(field, &value);
    metric
}

fn histogram(times: &Distribution) -> Message {
    let mut histogram = Message::default();
    // Of the same buckets as the native part, so that the two agree however a worker counts meanwhile.
    let native: u64 = times.fine.iter().sum();
    histogram.varint(1, native);
    histogram.double(2, times.sum_in_seconds());
    for (end, count) in times.cumulative() {
        let mut bucket = Message::default();
        bucket.varint(1, count.min(native));
        bucket.double(2, end);
        histogram.message(3, &bucket);
    }
    histogram.varint(5, zigzag(SCHEMA));
    // The first bucket has all that is too short for the clock.
    histogram.double(6, (-20f64).exp2());
    histogram.varint(7, times.fine[0]);
    let (mut deltas, mut before) = (Vec::new(), 0);
    let mut span = None::<(usize, usize)>;
    // Where the span before ended, as the next index.
    let mut ended = 0;
    for (bucket, count) in times.fine.iter().enumerate().skip(1) {
        if *count == 0 {
            if let Some((first, length)) = span.take() {
                ended = write_span(&mut histogram, first, length, ended);
            }
            continue;
        }
        span = Some(span.map_or((bucket, 1), |(first, length)| (first, length + 1)));
        let count = *count as i64;
        varint(zigzag(count - before), &mut deltas);
        before = count;
    }
    if let Some((first, length)) = span {
        write_span(&mut histogram, first, length, ended);
    }
    histogram.bytes(13, &deltas);
    histogram
}

/// Buckets in a row: how far behind the ones before they begin, and how many there are.
fn write_span(histogram: &mut Message, first: usize, length: usize, ended: i32) -> i32 {
    let index = native_index(first);
    let mut span = Message::default();
    span.varint(1, zigzag(i64::from(index - ended)));
    span.varint(2, length as u64);
    histogram.message(12, &span);
    index + length as i32
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A message while it is written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, field: u64, wire_type: u64) {
        varint((field << 3) | wire_type, &mut self.0);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.tag(field, 0);
        varint(value, &mut self.0);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, 2);
        varint(value.len() as u64, &mut self.0);
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}
