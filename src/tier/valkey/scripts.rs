//! The scripts, and a call of one: its keys, its arguments, and how its answer is read.

use redis::aio::ConnectionLike;
use redis::{RedisError, RedisResult, Script, Value};

use super::slots;

/// What is known of each script but its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Connect,
    Beat,
    Members,
    Sweep,
    Settle,
    Purge,
    Heard,
    Read,
    Snapshot,
    Settings,
    Begin,
    Commit,
    Release,
    Invalidate,
    Peek,
    PutChunk,
    GetChunks,
    DropChunks,
}

impl Name {
    /// Whether its keys are the ledger's; else they are a resource's.
    pub fn is_of_ledger(self) -> bool {
        (self as usize) < Self::Begin as usize
    }
}

/// All scripts, in the order of their names.
#[derive(Debug)]
pub struct Scripts([Script; 18]);

impl Default for Scripts {
    fn default() -> Self {
        Self::with_clock(include_str!("lua/now.lua"))
    }
}

impl Scripts {
    /// `now` is the Lua function that tells the time.
    pub(super) fn with_clock(now: &str) -> Self {
        // With this first line, the server refuses a script as a whole when its memory is full, and not in the middle.
        let script = |parts: &[&str]| Script::new(&format!("#!lua\n{}", parts.concat()));
        let ledger = |body| script(&[include_str!("lua/ledger.lua"), body]);
        let fills = |body| script(&[now, include_str!("lua/fills.lua"), body]);
        Self([
            ledger(include_str!("lua/connect.lua")),
            ledger(include_str!("lua/beat.lua")),
            ledger(include_str!("lua/members.lua")),
            ledger(include_str!("lua/sweep.lua")),
            ledger(include_str!("lua/settle.lua")),
            ledger(include_str!("lua/purge.lua")),
            ledger(include_str!("lua/heard.lua")),
            ledger(include_str!("lua/read.lua")),
            ledger(include_str!("lua/snapshot.lua")),
            ledger(include_str!("lua/settings.lua")),
            fills(include_str!("lua/begin.lua")),
            fills(include_str!("lua/commit.lua")),
            fills(include_str!("lua/release.lua")),
            fills(include_str!("lua/invalidate.lua")),
            fills(include_str!("lua/peek.lua")),
            script(&[include_str!("lua/put_chunk.lua")]),
            script(&[include_str!("lua/get_chunks.lua")]),
            script(&[include_str!("lua/drop_chunks.lua")]),
        ])
    }
}

/// How an answer is read; `None` where it is none that the script gives.
type Read<A> = Box<dyn Fn(Value) -> Option<A> + Send + Sync>;

/// A script with its arguments.
pub struct Call<A> {
    name: Name,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
    read: Read<A>,
}

impl<A> Call<A> {
    pub(super) fn new(
        name: Name,
        keys: Vec<String>,
        read: impl Fn(Value) -> Option<A> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            keys,
            arguments: Vec::new(),
            read: Box::new(read),
        }
    }

    pub(super) fn octets(mut self, argument: &[u8]) -> Self {
        self.arguments.push(argument.to_vec());
        self
    }

    pub(super) fn number(self, argument: u64) -> Self {
        self.octets(argument.to_string().as_bytes())
    }

    pub fn name(&self) -> Name {
        self.name
    }

    /// The hash slot of its keys.
    pub fn slot(&self) -> u16 {
        self.keys.first().map_or(0, |key| slots::of(key))
    }

    /// Has the server carry it out. A server that does not know the script is given it, and asked again. Fails when the
    /// connection does, when the server refuses, and with [`redis::ErrorKind::UnexpectedReturnType`] on an answer that
    /// the script does not give.
    pub async fn run(
        &self,
        scripts: &Scripts,
        connection: &mut impl ConnectionLike,
    ) -> RedisResult<A> {
        let script = &scripts.0[self.name as usize];
        let mut invocation = script.prepare_invoke();
        for key in &self.keys {
            invocation.key(key);
        }
        for argument in &self.arguments {
            invocation.arg(argument.as_slice());
        }
        let value = invocation.invoke_async(connection).await?;
        (self.read)(value).ok_or_else(|| {
            let kind = redis::ErrorKind::UnexpectedReturnType;
            RedisError::from((kind, "a script's answer cannot be read"))
        })
    }
}
