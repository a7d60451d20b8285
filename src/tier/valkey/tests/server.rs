//! Servers of its own for each test: on free ports of the loopback interface, without persistence. `BOOKEND_TEST_VALKEY` names the
//! program, where it is not `redis-server`.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::clock::timer_now;
use crate::config::valkey_servers::{Address, Servers};

/// Longer than anything takes that a test waits for.
pub const LONG: Duration = Duration::from_secs(20);

/// Ended when it is dropped.
pub struct TestServer {
    process: Child,
    pub port: u16,
    directory: tempfile::TempDir,
    is_sentinel: bool,
    /// What a test says before its own commands.
    login: &'static str,
}

pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port").port()
}

impl TestServer {
    pub fn start() -> Self {
        Self::with("")
    }

    /// With these lines in its configuration. `DIR` in them is its directory.
    pub fn with(settings: &str) -> Self {
        Self::begin(settings, false, free_port())
    }

    /// A Sentinel, at this port.
    pub fn sentinel(port: u16, settings: &str) -> Self {
        Self::begin(settings, true, port)
    }

    fn begin(settings: &str, is_sentinel: bool, port: u16) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let dir = directory.path().to_str().expect("UTF-8");
        let persistence = match is_sentinel {
            true => "",
            false => "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n",
        };
        let settings = settings.replace("DIR", dir);
        let text = format!("bind 127.0.0.1\nport {port}\ndir {dir}\n{persistence}{settings}\n");
        fs::write(directory.path().join("conf"), text).expect("a file");
        Self {
            process: run(directory.path(), is_sentinel),
            port,
            directory,
            is_sentinel,
            login: "",
        }
    }

    /// A test's own commands are those of this user: `user:password@`.
    pub fn asked_by(mut self, login: &'static str) -> Self {
        self.login = login;
        self
    }

    /// Ends it, and starts it anew at the same address: it has lost everything.
    pub fn restart(&mut self) {
        self.end();
        self.process = run(self.directory.path(), self.is_sentinel);
    }

    /// Without warning to anybody.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn url(&self) -> String {
        format!("redis://{}127.0.0.1:{}", self.login, self.port)
    }

    pub fn address(&self) -> Address {
        Address::Tcp {
            host: "127.0.0.1".into(),
            port: self.port,
        }
    }

    pub fn servers(&self) -> Servers {
        Servers::at(&self.url()).expect("a URL")
    }

    /// A connection, once the server takes one.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        let began = timer_now();
        while began.elapsed() < LONG {
            let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
            match client
                .get_multiplexed_async_connection_with_config(&config)
                .await
            {
                Ok(connection) => return connection,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("the server takes no connection at {}", self.url());
    }

    /// The answer to a command, whose words have no spaces.
    pub async fn try_command<A: FromRedisValue>(&self, command: &str) -> RedisResult<A> {
        let mut words = command.split_whitespace();
        let mut cmd = redis::cmd(words.next().expect("a command"));
        for word in words {
            cmd.arg(word);
        }
        cmd.query_async(&mut self.connection().await).await
    }

    pub async fn command<A: FromRedisValue>(&self, command: &str) -> A {
        let answer = self.try_command(command).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    pub async fn tell(&self, command: &str) {
        let _: redis::Value = self.command(command).await;
    }

    /// The line of INFO with this name.
    pub async fn info(&self, name: &str) -> String {
        let info: String = self.command("INFO").await;
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().to_owned()
    }

    /// Makes it a replica, and waits until it has all that the other one has.
    pub async fn follow(&self, primary: &Self) {
        self.tell(&format!("REPLICAOF 127.0.0.1 {}", primary.port))
            .await;
        until(async || self.info("master_link_status").await == "up").await;
    }

    /// Sends it a signal by its name: `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let kill = kill.args([&format!("-{name}"), &self.process.id().to_string()]);
        assert!(kill.status().expect("kill").success());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(directory: &Path, is_sentinel: bool) -> Child {
    let program = env::var("BOOKEND_TEST_VALKEY").unwrap_or_else(|_| "redis-server".into());
    let mut command = Command::new(&program);
    command.arg(directory.join("conf"));
    if is_sentinel {
        command.arg("--sentinel");
    }
    let process = command.stdout(Stdio::null()).spawn();
    process.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Waits for it.
pub async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let began = timer_now();
    while !is_so().await {
        assert!(began.elapsed() < LONG, "it does not come about");
        sleep(Duration::from_millis(10)).await;
    }
}

pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}
