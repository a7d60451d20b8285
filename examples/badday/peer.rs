//! nginx, with the configuration that it has in the benches.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::kit::child::rss_of_tree;

const CONFIG: &str = include_str!("../../benches/compare/peers/nginx.conf");

/// A running nginx; ended when dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    folder: PathBuf,
    pub addr: SocketAddr,
}

impl Nginx {
    /// `None` where it is not installed.
    pub async fn start(origin: SocketAddr) -> io::Result<Option<Self>> {
        let folder = std::env::temp_dir().join(format!("badday-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (port, second) = (free_port()?, free_port()?);
        let config = CONFIG
            .replace("{{dir}}", &folder.display().to_string())
            .replace("{{origin}}", &origin.port().to_string())
            .replace("{{h2_port}}", &second.to_string())
            .replace("{{port}}", &port.to_string())
            .replace("{{memory_mib}}", "64")
            .replace("keepalive_timeout 75s", "keepalive_timeout 600s");
        let file = folder.join("nginx.conf");
        fs::write(&file, config)?;
        let started = ["/usr/sbin/nginx", "nginx"].iter().find_map(|program| {
            Command::new(program)
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let Some(process) = started else {
            return Ok(None);
        };
        let nginx = Self {
            process,
            folder,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        for _ in 0..100 {
            if TcpStream::connect(nginx.addr).await.is_ok() {
                return Ok(Some(nginx));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(io::Error::other("nginx does not listen"))
    }

    /// Resident memory of all its processes, in bytes.
    pub fn rss(&self) -> u64 {
        rss_of_tree(self.process.id())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, its workers would be left behind.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free just now.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
