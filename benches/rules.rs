//! The rules that stand on a request's path: what a request says, what a response says, and the decision.

use std::hint::black_box;
use std::time::Duration;

use bookend::semantics::authority::{Scheme, TargetView};
use bookend::semantics::cache_control::{RequestDirectives, ResponseDirectives};
use bookend::semantics::cache_status::{CacheStatus, InstanceName};
use bookend::semantics::freshness::{Freshness, Receipt};
use bookend::semantics::policy::Policy;
use bookend::semantics::preconditions::{Selected, evaluate};
use bookend::semantics::reuse::{Selection, decide};
use bookend::semantics::time::Timestamp;
use bookend::semantics::validation::Validators;
use bookend::semantics::vary::{VariantKey, Vary};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    lines.collect()
}

fn response() -> HeaderMap {
    fields(&[
        ("date", "Wed, 25 Nov 2026 08:00:00 GMT"),
        ("content-type", "application/json"),
        (
            "cache-control",
            "public, max-age=3600, stale-while-revalidate=30",
        ),
        ("etag", "\"5f3a-1024\""),
        ("last-modified", "Sun, 01 Nov 2026 08:00:00 GMT"),
        ("vary", "accept-encoding, accept-language"),
    ])
}

fn request() -> HeaderMap {
    fields(&[
        ("host", "books.example"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-US,en;q=0.7,de;q=0.3"),
        ("cache-control", "max-age=600, max-stale=10"),
        ("if-none-match", "\"1234\", W/\"5f3a-1024\""),
    ])
}

fn received() -> Receipt {
    let time = Timestamp::from_secs(1_795_593_600);
    Receipt {
        request_time: time,
        response_time: time,
    }
}

fn reading(criterion: &mut Criterion) {
    let (request, response, policy) = (request(), response(), Policy::default());
    criterion.bench_function("read a request's directives", |bencher| {
        bencher.iter(|| RequestDirectives::parse(black_box(&request)));
    });
    criterion.bench_function("read a response's directives", |bencher| {
        bencher.iter(|| ResponseDirectives::parse(black_box(&response), &policy.targeted_fields));
    });
    let uri = Uri::from_static("/books/123?fields=title");
    criterion.bench_function("read a target", |bencher| {
        bencher.iter(|| {
            let scheme = Scheme::Http;
            TargetView::from_request(
                &Method::GET,
                black_box(&uri),
                &request,
                scheme,
                Version::HTTP_11,
            )
        });
    });
    let directives = ResponseDirectives::parse(&response, &[]);
    criterion.bench_function("compute freshness", |bencher| {
        let (status, receipt) = (StatusCode::OK, received());
        bencher.iter(|| {
            Freshness::compute(
                status,
                black_box(&response),
                &directives,
                receipt,
                false,
                &policy,
            )
        });
    });
}

fn deciding(criterion: &mut Criterion) {
    let (request, response, policy) = (request(), response(), Policy::default());
    let directives = ResponseDirectives::parse(&response, &[]);
    let freshness = Freshness::compute(
        StatusCode::OK,
        &response,
        &directives,
        received(),
        false,
        &policy,
    );
    let asked = RequestDirectives::parse(&request);
    criterion.bench_function("decide", |bencher| {
        let (freshness, resident) = (&freshness, Duration::from_secs(42));
        bencher.iter(|| {
            decide(
                Selection::Found {
                    freshness,
                    resident,
                },
                black_box(&asked),
            )
        });
    });
    let validators = Validators::of(&response);
    criterion.bench_function("evaluate If-None-Match", |bencher| {
        let selected = Selected {
            status: StatusCode::OK,
            validators: &validators,
            received: received().response_time,
        };
        bencher.iter(|| evaluate(&Method::GET, black_box(&request), &selected));
    });
    let variant = VariantKey::of(&Vary::parse(&response), &request, &policy.vary);
    criterion.bench_function("match a variant", |bencher| {
        bencher.iter(|| variant.matches(black_box(&request), &policy.vary));
    });
    let name = InstanceName::new("bookend");
    criterion.bench_function("write Cache-Status", |bencher| {
        let mut room = Vec::with_capacity(64);
        bencher.iter(|| {
            room.clear();
            CacheStatus::hit(black_box(3558)).write_to(&name, &mut room);
        });
    });
}

criterion_group!(benches, reading, deciding);
criterion_main!(benches);
