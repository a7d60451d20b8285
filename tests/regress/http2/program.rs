//! The program itself, with what it says on standard error.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::super::common::{Origin, await_that};

/// A `bookend run` in a process of its own.
pub struct Program {
    child: Child,
    addr: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Before `origin`, with these settings; `limit` is a command of the shell that goes before it, such as
    /// `ulimit -n 64`.
    pub fn start(origin: &Origin, limit: &str, server: &str, log: &str) -> Self {
        Self::start_with(origin, limit, server, "", log)
    }

    /// With settings of the upstream, too.
    pub fn start_with(
        origin: &Origin,
        limit: &str,
        server: &str,
        upstream: &str,
        log: &str,
    ) -> Self {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n{server}\n[upstream]\nservers = [\"{}\"]\n{upstream}\n\
             [admin]\nlisten = \"off\"\n[log]\naccess = \"off\"\n{log}\n",
            origin.url()
        );
        Self::configured(limit, &text)
    }

    /// With all of its configuration, which has it listen on 127.0.0.1.
    pub fn configured(limit: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.toml");
        std::fs::write(&file, text).expect("a file");
        let run = format!("{limit}; exec \"$0\" run --config \"$1\"");
        let mut child = Command::new("sh")
            .args(["-c", &run, env!("CARGO_BIN_EXE_bookend")])
            .arg(&file)
            .env_remove("BOOKEND_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a shell");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = lines.clone();
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        let mut program = Self {
            child,
            addr: ([127, 0, 0, 1], 0).into(),
            lines,
        };
        program.addr = program.await_addr("listening");
        program
    }

    /// The address in the line that has `text` in it, once that is there.
    pub fn await_addr(&self, text: &str) -> SocketAddr {
        let mut found = None;
        await_that("the program says where it listens", || {
            found = self.lines(text).iter().find_map(|line| {
                let rest = &line[line.find("127.0.0.1:")?..];
                let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
                rest[..end.unwrap_or(rest.len())].parse().ok()
            });
            found.is_some()
        });
        found.expect("an address")
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The lines that it has said and that have `text` in them.
    pub fn lines(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter(|line| line.contains(text))
            .cloned()
            .collect()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([name, &pid]).status();
        assert!(killed.expect("kill").success());
    }

    /// Whether it is stopped (proc_pid_stat(5)).
    pub fn is_stopped(&self) -> bool {
        let stat = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(stat).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    }

    /// Sends SIGTERM, and waits until it has ended in order.
    pub fn stop(&mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().expect("an end").success());
    }
}

impl Drop for Program {
    /// Whatever the test found, nothing is left running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
