//! A gateway in a process of its own, so that its memory can be told from ours.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::wire::Wire;

/// The first argument of a process that is to be a gateway.
pub const GATEWAY: &str = "gateway";

/// A running gateway; killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    addr: SocketAddr,
    config: PathBuf,
    log: Arc<Log>,
}

/// What a gateway has logged so far.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Gateway {
    /// Starts one with this configuration, whose `[server] listen` must name one address with port 0.
    pub fn start(config: &str) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = format!("bookend-{}-{number}.toml", std::process::id());
        let file = std::env::temp_dir().join(file);
        fs::write(&file, config).expect("a temporary file");
        let mut process = Process::start(&[GATEWAY, &file.display().to_string()]);
        let log = Log::keep(process.stderr());
        Self {
            process,
            addr: log.address("listening"),
            config: file,
            log,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        rss(self.process.id())
    }

    /// Resident memory that no file is behind, in bytes.
    pub fn anonymous(&self) -> u64 {
        anonymous(self.process.id())
    }

    /// Processor time that it has taken so far.
    pub fn cpu(&self) -> Duration {
        cpu(self.process.id())
    }

    /// The address of its admin API; it must have one.
    pub fn admin(&self) -> SocketAddr {
        self.log.address("admin API open")
    }

    /// The page of its metrics; it must have an admin API.
    pub async fn metrics(&self) -> io::Result<String> {
        let admin = self.admin();
        let mut wire = Wire::connect(admin).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        wire.write(request.as_bytes()).await?;
        let head = wire.head().await?;
        let mut page = Vec::new();
        wire.body(&head, &mut page).await?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// How many lines of its log have `words`.
    pub fn logged(&self, words: &str) -> usize {
        let lines = self.log.lines.lock();
        let lines = lines.unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(words)).count()
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
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

impl Log {
    /// Keeps what comes, and shows it.
    fn keep(stderr: ChildStderr) -> Arc<Self> {
        let log = Arc::new(Self::default());
        let kept = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("gateway: {line}");
                let mut lines = kept.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line);
                kept.grown.notify_all();
            }
        });
        log
    }

    /// The address in the first line with `words`, which is waited for.
    fn address(&self, words: &str) -> SocketAddr {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut found = lines.iter().filter(|line| line.contains(words));
            if let Some(addr) = found.find_map(|line| addr_in(line)) {
                return addr;
            }
            let waited = self.grown.wait_timeout(lines, Duration::from_secs(10));
            let (grown, time_out) = waited.unwrap_or_else(PoisonError::into_inner);
            assert!(!time_out.timed_out(), "a gateway that says {words:?}");
            lines = grown;
        }
    }
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

/// Resident memory of a process and of all below it, in bytes.
pub fn rss_of_tree(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let below = children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok());
    rss(pid) + below.map(rss_of_tree).sum::<u64>()
}

/// Processor time that a process has taken so far; zero when it is gone.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the program's name, which may have spaces: utime and stime, in hundredths of a second.
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Resident memory of a process, in bytes; 0 when it is gone.
pub fn rss(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// Resident memory of a process that no file is behind, in bytes: without the pages of its program, of which more are
/// resident the more of it has run. 0 when it is gone.
pub fn anonymous(pid: u32) -> u64 {
    status_bytes(pid, "RssAnon:")
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
