//! What the second tiers have logged in this process: a test looks for what names its own directory.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static BEGUN: Once = Once::new();

struct Sink;

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        lines.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has them kept from now on: to be called before there is anything to log.
pub fn keep() {
    BEGUN.call_once(|| {
        let filter = "off,bookend::tier::disk=info,bookend::ledger=info";
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(|| Sink)
            .init();
    });
}

/// The lines with all of these in them.
pub fn lines(with: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let lines = String::from_utf8_lossy(&lines);
    let found = lines
        .lines()
        .filter(|line| with.iter().all(|it| line.contains(it)));
    found.map(str::to_owned).collect()
}
