//! From spans to the messages of OTLP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind as Kind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, SpanFlags, Status};
use pushroll_domain::{EndedSpan, Random, SpanContext, SpanKind, SpanValue};

const SAMPLED: u32 = 1;

/// Who sends: this program, this process of it.
pub(super) fn resource(service_name: &str, random: &dyn Random) -> Resource {
    let mut instance = [0; 16];
    random.fill(&mut instance);
    let instance = uuid::Builder::from_random_bytes(instance).into_uuid().to_string();
    let version = env!("CARGO_PKG_VERSION");
    let attributes = [
        ("service.name", service_name),
        ("service.version", version),
        ("service.instance.id", &instance),
    ];
    let attributes = attributes.map(|(key, text)| attribute(key, text.into()));
    Resource { attributes: attributes.into(), ..Resource::default() }
}

/// A request with these spans.
pub(super) fn request(resource: &Resource, spans: Vec<EndedSpan>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(resource.clone());
    let all = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![all] }
}

fn span(span: EndedSpan) -> Span {
    let mut flags = SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32;
    if span.is_parent_remote {
        flags |= SpanFlags::ContextIsRemoteMask as u32;
    }
    let attributes = span.attributes.into_iter();
    Span {
        trace_id: span.context.trace.to_vec(),
        span_id: span.context.span.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        flags,
        name: span.name.to_owned(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: span.began_ns,
        end_time_unix_nano: span.ended_ns,
        attributes: attributes.map(|(key, value)| attribute(key, value)).collect(),
        links: span.link.map(link).into_iter().collect(),
        status: span.failure.map(|message| Status { message, code: StatusCode::Error.into() }),
        ..Span::default()
    }
}

const fn kind(kind: SpanKind) -> Kind {
    match kind {
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Consumer => Kind::Consumer,
    }
}

fn link(to: SpanContext) -> Link {
    Link {
        trace_id: to.trace.to_vec(),
        span_id: to.span.to_vec(),
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32,
        ..Link::default()
    }
}

fn attribute(key: &str, value: SpanValue) -> KeyValue {
    let value = match value {
        SpanValue::Text(text) => Value::StringValue(text),
        SpanValue::Number(number) => Value::IntValue(number),
        SpanValue::Flag(flag) => Value::BoolValue(flag),
    };
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
