//! `bookend status`: what a running gateway does, in a few lines, from its metrics.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use http::Method;

use super::admin_client::{AdminArguments, Failure};
use super::report::{Exit, print};
use super::samples::{Sample, Samples};
use crate::clock::Clock;
use crate::semantics::time::Timestamp;

const LIMIT: Duration = Duration::from_secs(10);

/// The metric that each gateway has.
const BUILD: &str = "bookend_build_info";

/// The results of requests that the cache answered.
const ANSWERED: [&str; 3] = ["hit", "stale", "validated"];

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
}

pub fn main(arguments: &Arguments) -> Result<Exit, Failure> {
    let (stage, samples) = read(&arguments.admin)?;
    print(show(&stage, &samples, Clock::system().now().wall).trim_end());
    Ok(Exit::Success)
}

/// What `/readyz` says, whatever its status, and the metrics: unlike `GET /status`, these need no token.
fn read(admin: &AdminArguments) -> Result<(String, Samples), Failure> {
    let client = admin.client(false)?;
    let metrics = client.ask(Method::GET, "/metrics", None, LIMIT)?;
    let metrics = metrics.successful()?;
    let samples = Samples::read(&metrics.text());
    if samples.of(BUILD).next().is_none() {
        return Err(metrics.foreign());
    }
    let stage = client.ask(Method::GET, "/readyz", None, LIMIT)?.text();
    Ok((stage.trim_end().to_owned(), samples))
}

fn show(stage: &str, samples: &Samples, now: Timestamp) -> String {
    let value = |name: &str| samples.sum(name).unwrap_or(0);
    let since = |name: &str| {
        let then = samples.sum(name)?;
        Some(elapsed(now.as_secs().saturating_sub(then)))
    };
    let mut text = String::new();
    let mut line = |name: &str, what: String| text.push_str(&format!("{name:<10} {what}\n"));

    let build = samples.of(BUILD).next();
    let version = build.and_then(|build| build.label("version"));
    let mut gateway = format!("{}, {stage}", version.unwrap_or("of an unknown version"));
    if let Some(up) = since("process_start_time_seconds") {
        // Writing to a String cannot fail, here and below.
        let _ = write!(gateway, ", up {up}");
    }
    line("bookend", gateway);

    line("requests", requests(samples));
    line(
        "now",
        format!(
            "{} requests, {} of them waiting for the API; {} client connections",
            value("bookend_requests_in_flight"),
            value("bookend_requests_waiting"),
            value("bookend_connections"),
        ),
    );
    let mut memory = format!(
        "{} of {} for {} resources",
        size(value("bookend_memory_used_bytes")),
        size(value("bookend_memory_limit_bytes")),
        value("bookend_stored_resources"),
    );
    if let Some(resident) = samples.sum("process_resident_memory_bytes") {
        let _ = write!(memory, "; {} of the whole process", size(resident));
    }
    line("memory", memory);
    if let Some(limit) = samples.sum("bookend_disk_limit_bytes") {
        line("disk", disk(samples, limit));
    }
    if let Some(gateways) = samples.sum("bookend_fleet_gateways") {
        line("fleet", fleet(samples, gateways));
    }
    if let Some(read) = since("bookend_config_loaded_seconds") {
        let reloads = |result| {
            let mut all = samples.of("bookend_config_reloads_total");
            let found = all.find(|sample| sample.label("result") == Some(result));
            found.map_or(0, |sample| sample.value)
        };
        let (ok, failed) = (reloads("ok"), reloads("failed"));
        line(
            "config",
            format!("read {read} ago; {ok} reloads, {failed} more failed"),
        );
    }
    for server in samples.of("bookend_upstream_up") {
        line("upstream", upstream(server, samples));
    }
    text
}

/// Requests by result, and the share of them that the cache answered.
fn requests(samples: &Samples) -> String {
    let name = "bookend_requests_total";
    let total = samples.sum(name).unwrap_or(0);
    let by_result: Vec<_> = samples
        .of(name)
        .map(|sample| format!("{} {}", sample.value, sample.label("result").unwrap_or("?")))
        .collect();
    let mut text = format!("{total}: {}", by_result.join(", "));
    if total > 0 {
        let answered = samples.of(name).filter(|sample| {
            sample
                .label("result")
                .is_some_and(|result| ANSWERED.contains(&result))
        });
        let answered: u64 = answered.map(|sample| sample.value).sum();
        let tenths = u128::from(answered) * 1000 / u128::from(total);
        let _ = write!(
            text,
            " ({}.{} % answered by the cache)",
            tenths / 10,
            tenths % 10
        );
    }
    text
}

/// The disk tier, which may take `limit` bytes.
fn disk(samples: &Samples, limit: u64) -> String {
    let value = |name: &str| samples.sum(name).unwrap_or(0);
    let Some(responses) = samples.sum("bookend_disk_responses") else {
        return "not open: another process uses its directory, that was removed or replaced, or [disk] came with a reload; GET /status says which"
            .to_owned();
    };
    let mut text = format!(
        "{responses} responses in {} of {}; {} wait to be written",
        size(value("bookend_disk_bytes")),
        size(limit),
        size(value("bookend_disk_queued_bytes")),
    );
    if value("bookend_disk_loading") > 0 {
        text += "; still being loaded";
    }
    if value("bookend_disk_off") > 0 {
        text += "; nothing is written, since that has failed";
    }
    text
}

/// The fleet, of which the server knows so many gateways.
fn fleet(samples: &Samples, gateways: u64) -> String {
    let value = |name: &str| samples.sum(name).unwrap_or(0);
    let sequence = value("bookend_fleet_sequence");
    let mut text = match value("bookend_fleet_connected") {
        0 => "its server cannot be reached: what is stored is validated as `when_deaf` says"
            .to_owned(),
        _ => format!("{gateways} gateways; invalidations up to {sequence} are taken over"),
    };
    let pending = value("bookend_fleet_pending");
    if pending > 0 {
        let _ = write!(text, "; {pending} of this gateway are not acknowledged yet");
    }
    let differing = value("bookend_fleet_differing");
    if differing > 0 {
        let _ = write!(text, "; {differing} have another `when_deaf`");
    }
    text
}

/// One server of an API: whether it gets requests, and its load.
fn upstream(up: &Sample, samples: &Samples) -> String {
    let of = |name: &str| {
        let mut all = samples.of(name);
        let same = |sample: &&Sample| {
            ["upstream", "server"]
                .iter()
                .all(|label| sample.label(label) == up.label(label))
        };
        all.find(same).map_or(0, |sample| sample.value)
    };
    let mut text = String::new();
    if let Some(name) = up.label("upstream") {
        let _ = write!(text, "{name}: ");
    }
    let state = match up.value {
        0 => "out: ejected, unhealthy, or only tried",
        _ => "gets requests",
    };
    let _ = write!(
        text,
        "{} {state}; {} in flight, {} waiting",
        up.label("server").unwrap_or("?"),
        of("bookend_upstream_load"),
        of("bookend_upstream_waiting"),
    );
    text
}

/// The two largest units: `3d 4h`, `12s`.
pub(super) fn elapsed(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {}m", minutes % 60),
        (days, hours, _) => format!("{days}d {}h", hours % 24),
    }
}

/// In the largest unit of which there is one, to a tenth.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, scale)| bytes >= *scale) {
        None => format!("{bytes} B"),
        Some((name, scale)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*scale);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_few_lines() {
        let page = r#"
bookend_build_info{version="0.1.0"} 1
bookend_requests_total{result="hit"} 900
bookend_requests_total{result="validated"} 34
bookend_requests_total{result="miss"} 66
bookend_requests_in_flight 7
bookend_requests_waiting 2
bookend_connections 12
bookend_memory_used_bytes 1572864
bookend_memory_limit_bytes 268435456
bookend_stored_resources 41
process_start_time_seconds 1000
bookend_config_loaded_seconds 94600
bookend_config_reloads_total{result="ok"} 3
bookend_config_reloads_total{result="failed"} 1
bookend_upstream_up{server="http://a:1"} 1
bookend_upstream_up{upstream="films",server="http://b:1"} 0
bookend_upstream_load{server="http://a:1"} 5
bookend_upstream_waiting{upstream="films",server="http://b:1"} 4
"#;
        let shown = show("ready", &Samples::read(page), Timestamp::from_secs(94_660));
        assert_eq!(
            shown,
            "bookend    0.1.0, ready, up 1d 2h\n\
             requests   1000: 900 hit, 34 validated, 66 miss (93.4 % answered by the cache)\n\
             now        7 requests, 2 of them waiting for the API; 12 client connections\n\
             memory     1.5 MiB of 256.0 MiB for 41 resources\n\
             config     read 1m 0s ago; 3 reloads, 1 more failed\n\
             upstream   http://a:1 gets requests; 5 in flight, 0 waiting\n\
             upstream   films: http://b:1 out: ejected, unhealthy, or only tried; 0 in flight, 4 waiting\n"
        );
    }

    #[test]
    fn a_gateway_that_has_done_nothing_has_a_status() {
        let shown = show("starting", &Samples::read(""), Timestamp::from_secs(0));
        assert!(shown.starts_with("bookend    of an unknown version, starting\n"));
        assert!(shown.contains("requests   0: \n"), "{shown}");
    }

    #[test]
    fn times_and_sizes_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (61, "1m 1s"),
            (7_500, "2h 5m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(elapsed(seconds), text);
        }
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
