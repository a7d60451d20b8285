//! Servers that let in only those who have a password, and what a user has to be allowed.

use std::fs;

use super::connections::{kept, ledger, linked};
use super::members::{MANY, acknowledged, member_of, run_two, until_all_serve, url};
use super::server::{LONG, TestServer, runtime, until};
use crate::config::Secret;
use crate::config::valkey_servers::{Login, Password, Servers, Written};
use crate::ledger::protocol::fills::{Begun, Released, Stored};
use crate::tier::valkey::dial;
use crate::tier::valkey::fills::{Outline, Variant, drop_chunks, invalidate};

/// The commands that docs/valkey.md lists for a user of the server.
fn documented() -> String {
    let docs = include_str!("../../../../docs/valkey.md");
    let rules = docs
        .lines()
        .find_map(|line| line.strip_prefix("user bookend on >PASSWORD "));
    rules.expect("the rules").to_owned()
}

#[test]
fn each_command_of_the_scripts_is_documented() {
    let rules = documented().to_ascii_uppercase();
    let rules = rules.split(' ').collect::<Vec<_>>();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tier/valkey/lua");
    let mut found = 0;
    for script in fs::read_dir(folder).expect("a folder") {
        let script = fs::read_to_string(script.expect("an entry").path()).expect("a script");
        for call in script.split("redis.call('").skip(1) {
            let name = call.split_once('\'').expect("a name").0;
            assert!(rules.contains(&format!("+{name}").as_str()), "{name}");
            found += 1;
        }
    }
    assert!(found > 20, "{found}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_user_needs_no_more_than_what_is_documented() {
    let rules = documented();
    let acl = tempfile::NamedTempFile::new().expect("a file");
    let users = format!(
        "user default off\nuser admin on >a ~* &* +@all\nuser bookend on >sesame {rules}\n"
    );
    fs::write(acl.path(), users).expect("a file");
    let server = TestServer::with(&format!("aclfile {}", acl.path().display()));
    let server = server.asked_by("admin:a@");
    let servers = Servers::of(Written {
        urls: vec![format!("redis://127.0.0.1:{}", server.port)],
        user: Some("bookend".into()),
        password: Some(Password::Given(Secret::new("sesame"))),
        ..Written::default()
    });
    let servers = servers.expect("servers");
    let members = [1, 2].map(|id| member_of(&servers, id, MANY, 0));
    runtime().block_on(async {
        drop(server.connection().await);
        run_two(&members, async |members, _| {
            until_all_serve(members).await;
            acknowledged(members[0], &url(1)).await;
            let link = linked(members[0].connection()).await;
            assert_eq!(link.epoch_in_force().await.expect("an answer"), link.epoch);
            let resource = ledger().namespace.resource(1, "http://h/");
            let variant = Variant::new(resource.clone(), [0; 16]);
            let begun = link.call(&variant.begin(1, None)).await.expect("an answer");
            assert_eq!(begun, Begun::Lead);
            let new = Stored {
                nonce: 1,
                number: 1,
                response: b"r".to_vec(),
            };
            let outline = Outline {
                keep: LONG,
                chunks: 0,
                selectors: "",
            };
            let stored = link.call(&variant.commit(&new, &outline)).await;
            assert!(stored.expect("an answer").is_some());
            let begun = link
                .call(&variant.begin(2, Some(1)))
                .await
                .expect("an answer");
            assert_eq!(begun, Begun::Lead);
            let release = variant.release(2, Released::NotShared);
            link.call(&release).await.expect("an answer");
            let gone = link.call(&invalidate(&resource, 9)).await;
            assert_eq!(gone.expect("an answer"), []);
            let dropped = link.call(&drop_chunks(&resource, 1, 0..2)).await;
            dropped.expect("an answer");
        })
        .await;
        let waits: String = server.command("ACL DRYRUN bookend WAIT 1 100").await;
        assert_eq!(waits, "OK");
        let log: Vec<redis::Value> = server.command("ACL LOG").await;
        assert!(log.is_empty(), "{log:?}");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_wrong_password_is_not_shown_and_a_new_one_is_read_from_its_file() {
    let server = TestServer::with("requirepass first").asked_by(":first@");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "sesame\n").expect("a file");
    let servers = Servers {
        login: Login {
            user: None,
            password: Some(Password::File(file.path().to_owned())),
        },
        ..server.servers()
    };
    runtime().block_on(async {
        drop(server.connection().await);
        let refused = dial::to_data(&servers, &server.address()).await;
        let refused = refused.expect_err("no connection");
        let shown = format!("{refused} {refused:?} {servers:?}");
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("refuses the connection"), "{shown}");
        fs::write(file.path(), "").expect("a file");
        let refused = dial::to_data(&servers, &server.address()).await;
        let refused = refused.expect_err("no connection").to_string();
        assert!(refused.ends_with("which is empty"), "{refused}");
        kept(&servers, 0, async |connection| {
            fs::write(file.path(), "first\r\n").expect("a file");
            let first = linked(connection).await;
            server.tell("CONFIG SET requirepass second").await;
            fs::write(file.path(), "second").expect("a file");
            let server = server.asked_by(":second@");
            server.tell("CLIENT KILL TYPE normal SKIPME yes").await;
            until(async || connection.link().is_some_and(|link| !link.is(&first))).await;
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_is_reached_by_a_unix_socket() {
    let server = TestServer::with("unixsocket DIR/socket");
    let url = format!("unix://{}/socket", server.directory().display());
    runtime().block_on(async {
        drop(server.connection().await);
        let servers = Servers::at(&url).expect("a URL");
        kept(&servers, 0, async |connection| {
            let link = linked(connection).await;
            assert_eq!(link.epoch_in_force().await.expect("an answer"), link.epoch);
        })
        .await;
    });
}
