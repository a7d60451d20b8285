//! Spans as messages.

use prost::Message as _;

use super::message::{
    AnyValue, ExportTraceServiceRequest, IS_REMOTE, InstrumentationScope, KeyValue, Link, Resource,
    ResourceSpans, ScopeSpans, Span as SpanMessage, SpanKind, Status, StatusCode, any_value,
};
use crate::clock::Clock;
use crate::semantics::trace_context::SpanContext;
use crate::telemetry::traces::span::{Instance, Kind, Span, Value};

/// The version of the semantic conventions whose names the attributes have.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// Who sends: its `service.name` is this one.
pub(super) fn resource(service: &str, instance: Instance<'_>) -> Resource {
    let process = format!("{:016x}", instance.process);
    let attributes = [
        ("service.name", service),
        ("service.instance.id", &process),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "bookend"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let text = |(key, text): (&'static str, &str)| attribute(key, &Value::text(text));
    Resource {
        attributes: attributes.into_iter().map(text).collect(),
    }
}

/// A request that exports `spans`.
pub(super) fn request(spans: &[Box<Span>], resource: &Resource, clock: &Clock) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: "bookend".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.iter().map(|span| message(span, clock)).collect(),
            }],
            schema_url: SCHEMA.to_owned(),
        }],
    };
    request.encode_to_vec()
}

fn message(span: &Span, clock: &Clock) -> SpanMessage {
    let attributes = span.attributes.iter();
    let kind = match span.kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Internal => SpanKind::Internal,
    };
    let status = span.failure.as_ref().map(|words| Status {
        message: words.as_deref().unwrap_or_default().to_owned(),
        code: StatusCode::Error.into(),
    });
    let parent = span.parent.map(|parent| parent.0.to_vec());
    SpanMessage {
        trace_id: span.context.trace.0.to_vec(),
        span_id: span.context.span.0.to_vec(),
        trace_state: span.trace_state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: parent.unwrap_or_default(),
        name: span.name.clone().into(),
        kind: kind.into(),
        start_time_unix_nano: clock.unix_nanos(span.began),
        end_time_unix_nano: clock.unix_nanos(span.ended),
        attributes: attributes
            .map(|(key, value)| attribute(key, value))
            .collect(),
        links: (span.links.iter())
            .map(|other| Link {
                trace_id: other.trace.0.to_vec(),
                span_id: other.span.0.to_vec(),
                flags: flags(*other, false),
            })
            .collect(),
        status,
        flags: flags(span.context, span.is_parent_remote),
    }
}

fn flags(context: SpanContext, is_remote: bool) -> u32 {
    let [is_known, remote] = IS_REMOTE;
    let remote = if is_remote { remote } else { 0 };
    u32::from(context.flags()) | is_known | remote
}

fn attribute(key: &'static str, value: &Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text.clone().into()),
        Value::Word(word) => any_value::Value::StringValue((*word).to_owned()),
        Value::Number(number) => any_value::Value::IntValue(*number),
    };
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}
