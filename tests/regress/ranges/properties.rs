//! Whatever was asked for before, however much of it is stored: an answer is what was asked for, of one version.

use std::sync::PoisonError;
use std::time::Duration;

use proptest::prelude::*;

use super::file::{File, KINDS, LIMITS, Versions, files};
use crate::common::{Gateway, get, head};

/// What happens to a file.
#[derive(Clone, Debug)]
enum Step {
    Get(Option<Vec<Spec>>, Condition, bool),
    Head,
    /// It is replaced by another of the same size.
    Change,
    /// What is stored of it becomes stale.
    Expire,
}

/// A range in thousandths of the file's size.
#[derive(Clone, Debug)]
enum Spec {
    FromTo(usize, usize),
    From(usize),
    Last(usize),
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    None,
    IfRange,
    OldIfRange,
    /// If-None-Match with what never matches.
    IfNoneMatch,
}

impl Spec {
    fn text(&self, size: usize) -> String {
        let at = |thousandths: usize| size * thousandths / 1000;
        match self {
            Self::FromTo(first, more) => format!("{}-{}", at(*first), at(first + more)),
            Self::From(first) => format!("{}-", at(*first)),
            Self::Last(length) => format!("-{}", at(*length)),
        }
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    prop_oneof![
        4 => (0..1050_usize, 0..400_usize).prop_map(|(first, more)| Spec::FromTo(first, more)),
        2 => (0..1050_usize).prop_map(Spec::From),
        1 => (0..1050_usize).prop_map(Spec::Last),
        1 => Just(Spec::From(0)),
    ]
}

/// Mostly one; two that lie apart, so that the origin's order is ours.
fn specs() -> impl Strategy<Value = Vec<Spec>> {
    prop_oneof![
        8 => spec().prop_map(|spec| vec![spec]),
        1 => (0..300_usize, 0..100_usize, 500..900_usize).prop_map(|(first, more, second)| {
            vec![Spec::FromTo(first, more), Spec::From(second)]
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let condition = prop_oneof![
        6 => Just(Condition::None),
        1 => Just(Condition::IfRange),
        1 => Just(Condition::OldIfRange),
        1 => Just(Condition::IfNoneMatch),
    ];
    prop_oneof![
        12 => (prop::option::weighted(0.8, specs()), condition, prop::bool::weighted(0.2))
            .prop_map(|(specs, condition, credentials)| Step::Get(specs, condition, credentials)),
        1 => Just(Step::Head),
        1 => Just(Step::Change),
        1 => Just(Step::Expire),
    ]
}

fn change(versions: &Versions, file: &File) {
    let mut versions = versions.lock().unwrap_or_else(PoisonError::into_inner);
    *versions.entry(file.path()).or_default() += 1;
}

/// Takes the steps and returns the first fault.
fn walk(gateway: &Gateway, versions: &Versions, file: &File, steps: &[Step]) -> Result<(), String> {
    let mut client = gateway.client();
    let mut version = 0;
    for step in steps {
        match step {
            Step::Change => {
                change(versions, file);
                version += 1;
            }
            Step::Expire => gateway.advance(Duration::from_secs(61)),
            Step::Head => {
                let answer = client.send(&head(&file.path()));
                let told = answer.field("content-length").map(str::to_owned);
                let size = file.size.to_string();
                if answer.status != 200 || told.is_some_and(|told| told != size) {
                    return Err(format!("{file:?} HEAD: {answer:?}"));
                }
            }
            Step::Get(specs, condition, credentials) => {
                let range = specs.as_ref().map(|specs| {
                    let specs: Vec<_> = specs.iter().map(|spec| spec.text(file.size)).collect();
                    format!("bytes={}", specs.join(","))
                });
                let mut request = get(&file.path());
                if let Some(range) = &range {
                    request = request.field("Range", range);
                }
                request = match condition {
                    Condition::None => request,
                    Condition::IfRange => request.field("If-Range", file.validator(version)),
                    Condition::OldIfRange => request.field("If-Range", "\"old\""),
                    Condition::IfNoneMatch => request.field("If-None-Match", "\"other\""),
                };
                if *credentials {
                    request = request.field("Authorization", "Bearer x");
                }
                let answer = client.send(&request);
                file.check(range.as_deref(), &answer, version)?;
                let old = matches!(condition, Condition::OldIfRange);
                if old && answer.status == 206 && file.kind != super::file::Kind::Heedless {
                    return Err(format!("{file:?}: a part for If-Range \"old\""));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_answer_to_a_range_is_that_range_of_one_version() {
    let (_origin, gateway, versions) = files();
    let name = std::cell::Cell::new(0);
    let cases = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(300),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let kinds = prop::sample::select(&KINDS[..]);
    let limits = prop::sample::select(&LIMITS[..]);
    let steps = prop::collection::vec(step(), 1..10);
    let input = (kinds, limits, 0..12_000_usize, steps);
    proptest!(config, |((kind, limit, size, steps) in input)| {
        name.set(name.get() + 1);
        let file = File { limit, kind, size, name: name.get().to_string() };
        let walked = walk(&gateway, &versions, &file, &steps);
        prop_assert!(walked.is_ok(), "{}", walked.unwrap_err());
    });
}
