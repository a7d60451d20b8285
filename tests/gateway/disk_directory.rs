//! The directory of the disk tier, which others may have removed or replaced.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bookend::clock::Clock;
use bookend::config::Config;
use bookend::instance::Instance;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    Answer, Client, Gateway, Origin, Setup, await_that, get, post, reply, request,
};

const HOST: &str = "books.example";

struct Bench {
    origin: Origin,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let answer = reply(200).field("Cache-Control", "max-age=600");
        Self {
            origin: Origin::answering(answer.field("ETag", "\"1\"").body("a book")),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn setup(&self) -> Setup {
        Gateway::before(&self.origin).more(&format!("[disk]\npath = {:?}", self.path()))
    }

    fn start(&self) -> Gateway {
        let gateway = self.setup().start();
        gateway.await_metric("bookend_disk_loading", 0);
        gateway.wait_for_tiers(Duration::from_secs(60));
        gateway
    }
}

fn ask(gateway: &Gateway, path: &str) -> Answer {
    gateway.send(&get(path).field("Host", HOST)).expect(200)
}

fn status(gateway: &Gateway) -> Value {
    let answer = Client::to(gateway.admin_addr()).get("/status").expect(200);
    let status: Value = serde_json::from_str(&answer.text()).expect("JSON");
    status["disk"].clone()
}

fn purge(gateway: &Gateway, path: &str) {
    let target = format!("/purge?url=http://{HOST}{path}");
    Client::to(gateway.admin_addr())
        .send(&post(&target, ""))
        .expect(200);
}

/// Each is where the other one was, at once: the gateway never finds nothing.
fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).expect("an exchange");
}

fn copy(from: &Path, to: &Path) {
    DirBuilder::new()
        .mode(0o700)
        .create(to)
        .expect("a directory");
    for file in fs::read_dir(from).expect("a directory") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[test]
fn a_directory_that_is_removed_is_noticed_and_made_again_and_no_request_fails() {
    let bench = Bench::new();
    let path = bench.path();
    let gateway = bench.start();
    ask(&gateway, "/books/1");
    gateway.await_metric("bookend_disk_queued_bytes", 0);
    // It cannot be made again for a while.
    let aside = bench.folder.path().join("aside");
    fs::write(&aside, "in its place").expect("a file");
    exchange(&path, &aside);
    fs::remove_dir_all(&aside).expect("its files");
    gateway.await_metric("bookend_disk_off", 1);
    await_that("the reason", || {
        let disk = status(&gateway);
        let why = disk["why"].as_str().unwrap_or_default();
        disk["state"] == "waiting" && why.contains(path.to_str().expect("UTF-8"))
    });
    assert!(ask(&gateway, "/books/1").is_hit());
    assert!(ask(&gateway, "/books/2").says("stored"));
    purge(&gateway, "/books/1");
    assert!(ask(&gateway, "/books/1").fwd("uri-miss"));
    fs::remove_file(&path).expect("the file");
    gateway.await_metric("bookend_disk_off", 0);
    assert_eq!(status(&gateway)["why"], Value::Null);
    ask(&gateway, "/books/3");
    drop(gateway);
    let gateway = bench.start();
    let answer = ask(&gateway, "/books/3");
    assert!(answer.is_hit() && answer.says("detail=disk"), "{answer:?}");
}

#[test]
fn what_is_purged_while_the_directory_is_another_one_does_not_come_back_with_either() {
    let bench = Bench::new();
    let (path, moved) = (bench.path(), bench.folder.path().join("moved"));
    let gateway = bench.start();
    for book in ["/books/1", "/books/2"] {
        ask(&gateway, book);
    }
    gateway.await_metric("bookend_disk_queued_bytes", 0);
    // A backup is put in its place, with something else between.
    let backup = bench.folder.path().join("backup");
    copy(&path, &backup);
    let before = fs::read(backup.join("ledger")).expect("a ledger");
    fs::write(&moved, "in its place").expect("a file");
    exchange(&path, &moved);
    await_that("the end of the old one", || !moved.join("ledger").exists());
    purge(&gateway, "/books/1");
    exchange(&path, &backup);
    await_that("the use of the new one", || {
        fs::read(path.join("ledger")).is_ok_and(|now| now != before)
    });
    gateway.await_metric("bookend_disk_off", 0);
    let write = request("PUT", "/books/2").field("Host", HOST).body("new");
    gateway.send(&write).expect(200);
    drop(gateway);
    let gateway = bench.start();
    // What was not purged by the ledger that is there now is validated.
    let answer = ask(&gateway, "/books/1");
    assert!(answer.fwd("stale"), "{}", answer.cache_status());
    let answer = ask(&gateway, "/books/2");
    assert!(answer.fwd("uri-miss"), "{}", answer.cache_status());
    drop(gateway);
    fs::remove_dir_all(&path).expect("its files");
    fs::rename(&moved, &path).expect("its files");
    let gateway = bench.start();
    for book in ["/books/1", "/books/2"] {
        let answer = ask(&gateway, book);
        assert!(answer.fwd("uri-miss"), "{answer:?}");
    }
}

#[test]
fn a_directory_that_others_can_change_is_refused_with_the_cure() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    fs::create_dir(bench.path()).expect("a directory");
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o777)).expect("its mode");
    let path = bench.path();
    let config = format!(
        "[server]\nlisten = '127.0.0.1:0'\n[upstream]\nservers = [{:?}]\n[admin]\nlisten = 'off'\n[disk]\npath = {path:?}",
        bench.origin.url(),
    );
    let config = Config::parse(&config, "the test", &|_| None).expect("a file");
    let refused = Instance::bind(config, Clock::system()).expect_err("a refusal");
    let refused = refused.to_string();
    assert!(
        refused.ends_with(&format!("(mode 777): chmod 700 {}", path.display())),
        "{refused}"
    );
    // Nothing was written to where others can read, remove and replace it.
    assert_eq!(fs::read_dir(&path).expect("a directory").count(), 0);
}
