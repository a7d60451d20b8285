//! Gateways of one namespace that do not have the same settings.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt;

use super::connections::ledger;
use super::members::{MANY, TIMING, Told, member_of, run_two, until_all_serve};
use super::server::{TestServer, runtime, until};
use crate::clock::Clock;
use crate::ledger::protocol::timing::Timing;
use crate::tier::fleet::Lease;
use crate::tier::valkey::member::{Member, Settings};

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn with(&self, what: &str) -> Vec<String> {
        let octets = self.0.lock().expect("no panic").clone();
        let text = String::from_utf8(octets).expect("UTF-8");
        let lines = text.lines().filter(|line| line.contains(what));
        lines.map(str::to_owned).collect()
    }
}

/// A gateway that serves for so long when it cannot hear.
fn serving(server: &TestServer, id: u64, deaf: u64) -> Member<Told> {
    let settings = Settings {
        servers: server.servers(),
        ledger: ledger(),
        timing: Timing { deaf, ..TIMING },
        id,
        replicas: 0,
    };
    let lease = Arc::new(Lease::ended());
    Member::new(settings, Clock::system(), Told::default(), lease)
}

#[test]
#[ignore = "needs redis-server"]
fn gateways_that_serve_deaf_for_different_times_say_so_once() {
    let (server, lines) = (TestServer::start(), Lines::default());
    let to = lines.clone();
    let log = fmt().with_ansi(false).with_writer(move || to.clone());
    let _logged = tracing::subscriber::set_default(log.finish());
    let members = [serving(&server, 1, 0), serving(&server, 2, 30_000)];
    runtime().block_on(async {
        drop(server.connection().await);
        run_two(&members, async |members, switch| {
            let differing = |at: usize| members[at].status().differing;
            until(async || differing(0) == [(2, 30_000)] && differing(1) == [(1, 0)]).await;
            // It goes on to be so, and is not said again.
            let looks = members[0].looks();
            until(async || members[0].looks() > looks + 20).await;
            let said = lines.with("has another when_deaf");
            assert_eq!(said.len(), 2, "{said:?}");
            let is_there = |what: &str| said.iter().any(|line| line.contains(what));
            assert!(is_there("its=\"serve:30s\" own=\"validate\""), "{said:?}");
            assert!(is_there("its=\"validate\" own=\"serve:30s\""), "{said:?}");
            // Until it has left.
            members[1].leave().await;
            switch.send_replace(false);
            until(async || differing(0).is_empty()).await;
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn gateways_with_the_same_settings_say_nothing() {
    let server = TestServer::start();
    let members = [1, 2].map(|id| member_of(&server.servers(), id, MANY, 0));
    runtime().block_on(async {
        drop(server.connection().await);
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            until(async || members.iter().all(|member| member.looks() > 11)).await;
            assert!(
                members
                    .iter()
                    .all(|member| member.status().differing.is_empty())
            );
            let kept: Vec<String> = server.command("HKEYS bk:{books}:ctl").await;
            let told = kept.iter().filter(|field| field.starts_with("of "));
            assert_eq!(told.count(), 2, "{kept:?}");
        })
        .await;
    });
}
