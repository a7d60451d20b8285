//! A server of its own for each test: on a free port of the loopback interface, without persistence.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};

/// Ended when it is dropped.
pub struct TestServer {
    process: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl TestServer {
    pub fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.expect("a free port").port();
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            process: run(port, directory.path()),
            port,
            directory,
        }
    }

    /// Ends it, and starts it anew at the same address: it has lost everything.
    pub fn restart(&mut self) {
        self.end();
        self.process = run(self.port, self.directory.path());
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection, once the server takes one.
    pub async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        for _ in 0..500 {
            let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
            match client
                .get_multiplexed_async_connection_with_config(&config)
                .await
            {
                Ok(connection) => return connection,
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
        panic!("the server takes no connection at {}", self.url());
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

fn run(port: u16, directory: &Path) -> Child {
    let process = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn();
    process.unwrap_or_else(|error| panic!("redis-server: {error}"))
}

pub fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}
