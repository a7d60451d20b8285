//! What is told of the fleet: as metrics, in `GET /status`, and in the answer to a purge.

use http::StatusCode;
use serde_json::{Value, json};

use super::page::{Kind, Page};
use crate::proxy::{Acknowledgement, SharedCounts};
use crate::tier::fleet::{GatewayId, Place, Status, when_deaf};

/// Adds the fleet's metrics, where there is one.
pub(super) fn write(page: &mut Page, fleet: Option<&Status>, shared: Option<&SharedCounts>) {
    let Some(fleet) = fleet else {
        return;
    };
    let counts = &fleet.counts;
    let number = fleet.place.map_or(0, |place| place.number);
    #[rustfmt::skip]
    let gauges = [
        ("bookend_fleet_connected", "Whether there is a connection to the server of [valkey].", fleet.is_connected.into()),
        ("bookend_fleet_gateways", "Gateways of the fleet that its server knows, this one included.", fleet.gateways as u64),
        ("bookend_fleet_sequence", "The number of the latest invalidation of the fleet that was taken over, in the epoch in force.", number),
        ("bookend_fleet_pending", "Invalidations of this gateway that the fleet has not acknowledged yet.", fleet.pending as u64),
        ("bookend_fleet_differing", "Gateways of the fleet that have another `when_deaf` than this one.", fleet.differing.len() as u64),
    ];
    for (name, help, value) in gauges {
        page.single(name, Kind::Gauge, help, value);
    }
    let help = "Attempts to connect to the server of [valkey].";
    page.family("bookend_fleet_connections_total", Kind::Counter, help)
        .sample(&[("result", "ok")], counts.connected)
        .sample(&[("result", "failed")], counts.failed);
    #[rustfmt::skip]
    let counters = [
        ("bookend_fleet_late_total", "Calls of the server of [valkey] that were not answered in time.", counts.late),
        ("bookend_fleet_given_up_total", "Connections to the server of [valkey] that were given up since it was late.", counts.given_up),
        ("bookend_fleet_redirected_total", "Calls of a cluster of [valkey] that a node has sent on to the one that has their slot now.", counts.redirected),
        ("bookend_fleet_applied_total", "Invalidations of the fleet that were taken over, this gateway's included.", counts.applied),
        ("bookend_fleet_acknowledged_total", "Invalidations of this gateway that the fleet has acknowledged.", counts.acknowledged),
        ("bookend_fleet_epochs_total", "Epochs of the fleet's ledger that have begun: one at the start, another where the server may have lost something.", counts.epochs),
    ];
    for (name, help, value) in counters {
        page.single(name, Kind::Counter, help, value);
    }
    let Some(shared) = shared else {
        return;
    };
    let help = "Fills that looked for what other gateways have stored, by what they found.";
    page.family("bookend_shared_reads_total", Kind::Counter, help)
        .sample(&[("result", "hit")], shared.hits.value())
        .sample(&[("result", "miss")], shared.misses.value())
        .sample(&[("result", "passed")], shared.passed.value());
    let help = "Fills that waited for another gateway's.";
    let followed = shared.followed.value();
    page.single(
        "bookend_shared_followed_total",
        Kind::Counter,
        help,
        followed,
    );
    let help = "Responses that were to be stored for the other gateways.";
    page.family("bookend_shared_writes_total", Kind::Counter, help)
        .sample(&[("result", "ok")], shared.stored.value())
        .sample(&[("result", "refused")], shared.refused.value());
}

/// The fleet in `GET /status`; null where there is none.
pub(super) fn describe(fleet: Option<&Status>, shared: Option<&SharedCounts>) -> Value {
    let Some(fleet) = fleet else {
        return Value::Null;
    };
    json!({
        "id": name(fleet.id),
        "connected": fleet.is_connected,
        "heard": fleet.is_heard,
        "behind": fleet.behind,
        "gateways": fleet.gateways,
        "epoch": fleet.place.map(|Place { epoch, .. }| format!("{epoch:016x}")),
        "sequence": fleet.place.map(|place| place.number),
        "pending": fleet.pending,
        "applied": fleet.counts.applied,
        "acknowledged": fleet.counts.acknowledged,
        "epochs": fleet.counts.epochs,
        "late": fleet.counts.late,
        "redirected": fleet.counts.redirected,
        "when_deaf": when_deaf(fleet.deaf),
        "differing": fleet.differing.iter().map(|(id, deaf)| {
            json!({ "id": name(*id), "when_deaf": when_deaf(*deaf) })
        }).collect::<Vec<_>>(),
        "shared": shared.map(|shared| json!({
            "hits": shared.hits.value(),
            "misses": shared.misses.value(),
            "passed": shared.passed.value(),
            "followed": shared.followed.value(),
            "stored": shared.stored.value(),
            "refused": shared.refused.value(),
        })),
    })
}

/// Adds to the outcome of a purge how far it has come. Returns the answer's status.
pub(super) fn add_to(
    outcome: &mut Value,
    acknowledgement: &Acknowledgement,
    fleet: Option<&Status>,
) -> StatusCode {
    match acknowledgement {
        Acknowledgement::Alone => StatusCode::OK,
        Acknowledgement::NotDurable(why) => {
            outcome["acknowledged"] = json!(false);
            outcome["why"] = json!(why.why());
            StatusCode::ACCEPTED
        }
        Acknowledgement::Everywhere(acknowledged) => {
            outcome["acknowledged"] = json!(true);
            outcome["gateways"] = json!(acknowledged.gateways);
            outcome["applied"] = json!(acknowledged.applied);
            StatusCode::OK
        }
        Acknowledgement::Pending(gateways) => {
            outcome["acknowledged"] = json!(false);
            outcome["pending"] = gateways.iter().copied().map(name).collect();
            // The most likely cause.
            let why = fleet.map(|fleet| match (fleet.is_connected, fleet.is_settled) {
                (false, _) => "the server of [valkey] cannot be reached",
                (true, false) => {
                    "an epoch of the fleet's ledger has just begun: for some 20 seconds, a gateway may serve of which the server knows nothing"
                }
                (true, true) => {
                    "some gateway has not taken it over, and may serve until its lease has ended"
                }
            });
            outcome["why"] = json!(why);
            StatusCode::ACCEPTED
        }
    }
}

fn name(id: GatewayId) -> String {
    format!("{id:016x}")
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn what_was_redirected_in_a_cluster_is_told() {
        let mut fleet = Status::default();
        fleet.counts.redirected = 17;
        let mut page = Page::default();
        write(&mut page, Some(&fleet), None);
        let page = page.into_content(&HeaderMap::new()).1;
        let page = String::from_utf8(page).expect("UTF-8");
        assert!(
            page.contains("\nbookend_fleet_redirected_total 17\n"),
            "{page}"
        );
        assert_eq!(describe(Some(&fleet), None)["redirected"], 17);
    }

    #[test]
    fn gateways_that_have_another_when_deaf_are_told() {
        let fleet = Status {
            deaf: 90_000,
            differing: vec![(7, 0), (0xab, 1_500)],
            ..Status::default()
        };
        let told = describe(Some(&fleet), None);
        assert_eq!(told["when_deaf"], "serve:90s");
        let expected = json!([
            { "id": "0000000000000007", "when_deaf": "validate" },
            { "id": "00000000000000ab", "when_deaf": "serve:1500ms" },
        ]);
        assert_eq!(told["differing"], expected);
    }

    #[test]
    fn what_gateways_store_for_each_other_is_told_with_what_came_of_it() {
        let shared = SharedCounts::default();
        shared.hits.add(3);
        shared.misses.add(1);
        let fleet = Status {
            is_heard: true,
            behind: 2,
            ..Status::default()
        };
        let told = describe(Some(&fleet), Some(&shared));
        assert_eq!((&told["heard"], &told["behind"]), (&json!(true), &json!(2)));
        assert_eq!(told["shared"]["hits"], 3);
        assert_eq!(told["shared"]["misses"], 1);
        assert_eq!(describe(Some(&fleet), None)["shared"], Value::Null);
        assert_eq!(describe(None, None), Value::Null);
    }
}
