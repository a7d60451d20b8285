//! Servers of Redis in processes of their own: one alone, or a primary and a replica of which a Sentinel makes another primary.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::kit::wire::Wire;

/// The name by which the Sentinel knows the primary.
pub const NAME: &str = "books";

/// How long a server may take for what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server without persistence; killed when dropped.
#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    process: Child,
    folder: TempDir,
}

impl Server {
    /// Starts one on a free port.
    pub async fn start(more: &[&str]) -> io::Result<Self> {
        let addr = free_port()?;
        let folder = tempfile::tempdir()?;
        let process = run(addr, &folder, more)?;
        let server = Self {
            addr,
            process,
            folder,
        };
        server.answers("PING", "PONG").await?;
        Ok(server)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it at the same address, after it was killed: it has nothing of what it had.
    pub async fn start_again(&mut self, more: &[&str]) -> io::Result<()> {
        self.process = run(self.addr, &self.folder, more)?;
        self.answers("PING", "PONG").await
    }

    /// Stops its process, or has it go on.
    pub fn freeze(&self, is_frozen: bool) -> io::Result<()> {
        freeze(self.process.id(), is_frozen)
    }

    /// How often this command has been called.
    pub async fn calls(&self, command: &str) -> io::Result<u64> {
        let said = ask(self.addr, "INFO commandstats").await?;
        let line = said.split(&format!("cmdstat_{command}:calls=")).nth(1);
        let number = line.and_then(|line| line.split(',').next()?.parse().ok());
        Ok(number.unwrap_or_default())
    }

    /// Until it answers this command with something that has these words.
    pub async fn answers(&self, command: &str, words: &str) -> io::Result<()> {
        let asked = async {
            loop {
                let answer = ask(self.addr, command).await;
                if answer.is_ok_and(|answer| answer.contains(words)) {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        Ok(timeout(PATIENCE, asked).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(addr: SocketAddr, folder: &TempDir, more: &[&str]) -> io::Result<Child> {
    let started = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &addr.port().to_string(), "--dir"])
        .arg(folder.path())
        .args(more)
        .stdout(Stdio::null())
        .spawn();
    started.map_err(|error| io::Error::other(format!("redis-server: {error}")))
}

/// Stops a process, or has it go on.
pub fn freeze(pid: u32, is_frozen: bool) -> io::Result<()> {
    let signal = if is_frozen { "-STOP" } else { "-CONT" };
    Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()?;
    Ok(())
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// What is answered within a second to one command, as it comes.
async fn ask(addr: SocketAddr, command: &str) -> io::Result<String> {
    let asked = async {
        let mut wire = Wire::connect(addr).await?;
        wire.write(format!("{command}\r\n").as_bytes()).await?;
        let answer = wire.piece().await?.unwrap_or_default();
        io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(Duration::from_secs(1), asked).await?
}

/// Two servers, of which one is the primary, and a Sentinel.
#[derive(Debug)]
pub struct Guarded {
    servers: [Server; 2],
    primary: usize,
    sentinel: Child,
    /// Of the Sentinel.
    pub addr: SocketAddr,
    _folder: TempDir,
}

impl Guarded {
    pub async fn start() -> io::Result<Self> {
        let primary = Server::start(&[]).await?;
        let of = replica_of(&primary);
        let replica = Server::start(&as_words(&of)).await?;
        replica
            .answers("INFO replication", "master_link_status:up")
            .await?;
        let (addr, folder) = (free_port()?, tempfile::tempdir()?);
        let file = folder.path().join("sentinel.conf");
        let (port, of) = (addr.port(), primary.addr.port());
        fs::write(
            &file,
            format!(
                "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {of} 1\n\
                 sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 4000\n",
                folder.path().display()
            ),
        )?;
        let sentinel = Command::new("redis-sentinel")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn();
        let guarded = Self {
            servers: [primary, replica],
            primary: 0,
            sentinel: sentinel
                .map_err(|error| io::Error::other(format!("redis-sentinel: {error}")))?,
            addr,
            _folder: folder,
        };
        let known = async {
            let command = format!("SENTINEL replicas {NAME}");
            let replica = guarded.servers[1].addr.port().to_string();
            while !ask(addr, &command)
                .await
                .is_ok_and(|answer| answer.contains(&replica))
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, known).await?;
        Ok(guarded)
    }

    pub fn primary(&mut self) -> &mut Server {
        &mut self.servers[self.primary]
    }

    /// Until the Sentinel has made a primary of the other server.
    pub async fn failed_over(&mut self) -> io::Result<()> {
        let other = 1 - self.primary;
        let port = self.servers[other].addr.port().to_string();
        let named = async {
            let command = format!("SENTINEL get-master-addr-by-name {NAME}");
            while !ask(self.addr, &command)
                .await
                .is_ok_and(|answer| answer.contains(&port))
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, named).await?;
        self.primary = other;
        Ok(())
    }

    /// Starts the server again that was killed when it was the primary, as a replica of the other one.
    pub async fn restore(&mut self) -> io::Result<()> {
        let of = replica_of(&self.servers[self.primary]);
        self.servers[1 - self.primary]
            .start_again(&as_words(&of))
            .await
    }

    /// Has the server go on that was stopped when it was the primary.
    pub fn thaw_the_other(&self) -> io::Result<()> {
        self.servers[1 - self.primary].freeze(false)
    }

    /// Until the server that is not the primary is its replica.
    pub async fn replicates(&self) -> io::Result<()> {
        let other = &self.servers[1 - self.primary];
        other
            .answers("INFO replication", "master_link_status:up")
            .await
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

fn replica_of(primary: &Server) -> [String; 3] {
    let port = primary.addr.port().to_string();
    ["--replicaof".to_owned(), "127.0.0.1".to_owned(), port]
}

fn as_words(words: &[String; 3]) -> [&str; 3] {
    words.each_ref().map(String::as_str)
}
