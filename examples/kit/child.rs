//! A gateway in a process of its own, so that its memory can be told from ours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

/// The first argument of a process that is to be a gateway.
pub const GATEWAY: &str = "gateway";

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    addr: SocketAddr,
    config: PathBuf,
}

impl Gateway {
    /// Starts one with this configuration, whose `[server] listen` must name one address with port 0.
    pub fn start(config: &str) -> Self {
        let file = std::env::temp_dir().join(format!("bookend-{}.toml", std::process::id()));
        fs::write(&file, config).expect("a temporary file");
        let mut process = Process::start(&[GATEWAY, &file.display().to_string()]);
        let addr = listening(process.stderr());
        Self {
            process,
            addr,
            config: file,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        rss(self.process.id())
    }

    /// Stops it as a service manager does; whether it ended well.
    pub fn stop(&mut self) -> bool {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status();
        told.is_ok_and(|told| told.success()) && self.process.ends_well()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.config);
    }
}

/// Reads what a gateway logs until it tells its address; the rest is shown as it comes.
fn listening(stderr: ChildStderr) -> SocketAddr {
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let addr = lines.by_ref().find_map(|line| {
        let addr = line.contains("listening").then(|| addr_in(&line))?;
        if addr.is_none() {
            eprintln!("{line}");
        }
        addr
    });
    thread::spawn(move || lines.for_each(|line| eprintln!("gateway: {line}")));
    addr.expect("a gateway that listens")
}

fn addr_in(line: &str) -> Option<SocketAddr> {
    let words = line.split(|c: char| c.is_whitespace() || matches!(c, '=' | '/' | '"' | ','));
    words.filter_map(|word| word.parse().ok()).next()
}

/// This program again, with other arguments; killed when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("a path");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.expect("a process"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    fn stderr(&mut self) -> ChildStderr {
        self.0.stderr.take().expect("piped")
    }

    /// The first line of its output.
    pub fn first_line(&mut self) -> String {
        let stdout = self.0.stdout.take().expect("piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("text");
        line.trim().to_owned()
    }

    fn ends_well(&mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resident memory of a process, in bytes; 0 when it is gone.
pub fn rss(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
