//! One connection to one server: its stream, TLS, and who the gateway is to it.

use std::fs;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::error::Error;
use super::tls;
use crate::config::valkey_servers::{Address, Login, Password, Servers};

/// A connection. It is closed when all that use it have been dropped.
#[derive(Clone, Debug)]
pub struct Channel {
    pub connection: MultiplexedConnection,
    /// Without a sender once it is closed.
    open: watch::Receiver<()>,
    _driver: Arc<Driver>,
}

impl Channel {
    pub fn is_closed(&self) -> bool {
        self.open.has_changed().is_err()
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        let mut open = self.open.clone();
        while open.changed().await.is_ok() {}
    }
}

/// What reads and writes, ended when it is dropped: it would go on for as long as the server does not answer.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to one of the servers that hold data. Has no time limit.
pub async fn to_data(servers: &Servers, at: &Address) -> Result<Channel, Error> {
    connect(servers, at, &servers.login, servers.database).await
}

/// Connects to a Sentinel. Has no time limit.
pub async fn to_sentinel(servers: &Servers, at: &Address, login: &Login) -> Result<Channel, Error> {
    connect(servers, at, login, 0).await
}

async fn connect(
    servers: &Servers,
    at: &Address,
    login: &Login,
    database: u32,
) -> Result<Channel, Error> {
    let unfit = |why: String| Error::Unfit {
        at: at.clone(),
        why,
    };
    let unreached = |error| unfit(format!("cannot be reached: {error}"));
    let login = info(login, database).map_err(unfit)?;
    let started = match at {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(unreached)?;
            start(stream, &login).await
        }
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(unreached)?;
            stream.set_nodelay(true).map_err(unreached)?;
            match &servers.tls {
                None => start(stream, &login).await,
                Some(tls) => {
                    let stream = tls::handshake(tls, host, stream).await.map_err(unfit)?;
                    start(stream, &login).await
                }
            }
        }
    };
    started.map_err(|error| unfit(format!("refuses the connection: {error}")))
}

/// The error is a clause that follows the server's name.
fn info(login: &Login, database: u32) -> Result<RedisConnectionInfo, String> {
    // One command less that a user has to be allowed, and that Redis 7.0 does not know.
    let mut info = RedisConnectionInfo::default()
        .set_skip_set_lib_name()
        .set_db(database.into());
    if let Some(user) = &login.user {
        info = info.set_username(user);
    }
    Ok(match &login.password {
        None => info,
        Some(Password::Given(password)) => info.set_password(password.expose()),
        Some(Password::File(file)) => {
            let (read, file) = (fs::read_to_string(file), file.display());
            let text = read.map_err(|error| format!("has a password in {file}: {error}"))?;
            match text.trim_end_matches(['\r', '\n']) {
                "" => return Err(format!("has a password in {file}, which is empty")),
                password => info.set_password(password),
            }
        }
    })
}

async fn start<S>(stream: S, info: &RedisConnectionInfo) -> redis::RedisResult<Channel>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Its own time-out would end a wait for the log's entries, and does not count what a script takes that has to be loaded.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let started = MultiplexedConnection::new_with_config(info, stream, config);
    let (connection, driver) = started.await?;
    let (is_open, open) = watch::channel(());
    let driver = async move {
        driver.await;
        drop(is_open);
    };
    let driver = tokio::spawn(driver).abort_handle();
    Ok(Channel {
        connection,
        open,
        _driver: Arc::new(Driver(driver)),
    })
}
