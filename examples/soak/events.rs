//! Event streams: numbered, without an end of their own. The API is a few events ahead of its client at most, so that one
//! that is held back on its way is missed, however many there are.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::Sabotage;
use crate::client::Client;
use crate::exchange::{Exchange, Framing, Then};
use crate::kit::wire::Head;
use crate::ledger::{ID, comes_to};
use crate::link::{Answer, Ask, Link, PATIENCE, Speech};
use crate::report::{Row, count};
use crate::world::World;

/// Events that the API sends without a word that they came.
const AHEAD: u64 = 3;

/// How often the API says that it is still there.
const PULSE: Duration = Duration::from_millis(100);

/// Streams that are followed on one connection, of which most are reset: fewer than the gateway allows (`max_resets`).
const FOLLOWED: u32 = 50;

/// How long an event may take.
const SOON: Duration = Duration::from_secs(10);

/// One stream, as both ends see it.
#[derive(Default)]
pub struct Stream {
    /// After so many events the API makes an end, if the client has not left.
    last: u64,
    in_order: bool,
    sent: Cell<u64>,
    came: Cell<u64>,
    news: Notify,
    fate: Cell<Fate>,
    broken: RefCell<Rc<Cell<bool>>>,
}

/// What the API knows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Unasked,
    Running,
    Ended,
    Broken,
    /// Nobody is there.
    Left,
}

/// What a client makes of what comes.
struct Reader {
    id: u64,
    stream: Rc<Stream>,
    unread: Vec<u8>,
    wrong: Option<String>,
}

impl Stream {
    fn seen(&self) -> String {
        let Self { last, fate, .. } = self;
        let (sent, came) = (self.sent.get(), self.came.get());
        format!(
            "{came} came of {sent} that were sent of {last}, {:?}",
            fate.get()
        )
    }
}

fn event(id: u64, n: u64) -> String {
    format!("id: {n}\ndata: {{\"stream\": {id}, \"event\": {n}}}")
}

/// The API's end.
pub async fn answer(world: &World, head: &Head, exchange: &mut Exchange<'_>) -> io::Result<Then> {
    exchange.content(None, &mut |_| ()).await?;
    let Some((id, stream)) = world.events.find(head) else {
        return exchange.reply(404, &[], "").await;
    };
    stream.fate.set(Fate::Running);
    stream.broken.replace(exchange.broken.clone());
    let told = tell(world, id, &stream, exchange).await;
    if told.is_err() {
        stream.fate.set(Fate::Left);
    }
    told
}

async fn tell(
    world: &World,
    id: u64,
    stream: &Stream,
    exchange: &mut Exchange<'_>,
) -> io::Result<Then> {
    let mut random = world.random();
    let rule = ["no-store", "private", "no-cache, no-store"][random.below(3) as usize];
    let fields = [
        ("content-type", "text/event-stream".to_owned()),
        ("cache-control", rule.to_owned()),
    ];
    exchange.head(200, &fields, Framing::Chunked).await?;
    for n in 0..stream.last {
        while n >= stream.came.get() + AHEAD {
            if timeout(PULSE, stream.news.notified()).await.is_err() {
                exchange.data(b": still here\n\n").await?;
            }
        }
        if random.chance(200) {
            sleep(Duration::from_millis(random.below(30))).await;
        }
        if world.library.spoils(Sabotage::DropChunk) {
            continue;
        }
        exchange
            .data(format!("{}\n\n", event(id, n)).as_bytes())
            .await?;
        stream.sent.set(n + 1);
    }
    if stream.in_order {
        stream.fate.set(Fate::Ended);
        exchange.end().await?;
        return Ok(Then::Next);
    }
    stream.fate.set(Fate::Broken);
    Ok(exchange.break_off(&mut random))
}

/// Follows one stream after the other.
pub async fn run(mut client: Client, speech: Speech) {
    let mut link = Link::None;
    let mut followed = 0;
    while client.goes_on() {
        let keeps = follow(&mut client, speech, &mut link).await;
        followed += 1;
        if !keeps || followed == FOLLOWED || speech == Speech::Http11 {
            link = Link::None;
            followed = 0;
        }
        sleep(Duration::from_millis(client.random.below(20))).await;
    }
}

/// Whether the connection is of further use.
async fn follow(client: &mut Client, speech: Speech, link: &mut Link) -> bool {
    let world = client.world.clone();
    let row = &*world.rows.events;
    count(&row.tried);
    let random = &mut client.random;
    let last = 1 + random.below(60);
    // Most streams end because their client leaves.
    let leaves_at = random.chance(700).then(|| random.below(last));
    let (id, stream) = world.events.enter(Stream {
        last,
        in_order: random.chance(500),
        ..Stream::default()
    });
    // Several clients ask for the same at once.
    let ask = Ask {
        target: format!("/events/{}", random.below(3)),
        fields: vec![(ID, id.to_string()), ("accept", "text/event-stream".into())],
    };
    let followed = async {
        link.open(speech, client.gateway).await?;
        let mut answer = link.get(speech, &ask).await?;
        Ok(judge(row, id, &stream, &mut answer, leaves_at).await)
    };
    let verdict: io::Result<_> = match timeout(PATIENCE, followed).await {
        Ok(verdict) => verdict,
        Err(_) => Ok(Err("stalled".to_owned())),
    };
    let complain = |wrong: &str| {
        let wrong = format!("stream {id}: {wrong}; {}", stream.seen());
        world.report.breach(row, &wrong);
    };
    let wrong = match verdict {
        Ok(judged) => judged.err(),
        // So early that the head is not told any more.
        Err(_) if stream.fate.get() == Fate::Broken || stream.broken.borrow().get() => {
            count(&row.aborted);
            None
        }
        Err(error) => Some(format!("no answer: {error}")),
    };
    if let Some(wrong) = &wrong {
        complain(wrong);
    }
    let over = || !matches!(stream.fate.get(), Fate::Running);
    if speech == Speech::Http11 {
        *link = Link::None;
    }
    if !comes_to(over).await && !stream.broken.borrow().get() {
        complain("nobody told the API that its client left");
    }
    world.events.leave(id);
    wrong.is_none()
}

async fn judge(
    row: &Row,
    id: u64,
    stream: &Rc<Stream>,
    answer: &mut Answer<'_>,
    leaves_at: Option<u64>,
) -> Result<(), String> {
    let head = answer.head.clone();
    if head.status() >= 500 && head.field("proxy-status").is_some() {
        count(&row.errors);
        return Ok(());
    }
    let said = head.field("cache-status").unwrap_or("");
    if head.status() != 200
        || head.field("content-type") != Some("text/event-stream")
        || said.contains("; hit")
        || said.contains("stored")
        || (said.contains("; collapsed") && !said.contains("; collapsed=?0"))
    {
        return Err(format!("another answer: {head:?}"));
    }
    let mut reader = Reader {
        id,
        stream: stream.clone(),
        unread: Vec::new(),
        wrong: None,
    };
    let leaves = Notify::new();
    let mut take = |some: &[u8]| {
        row.add_bytes(some.len());
        reader.take(some);
        let enough = leaves_at.is_some_and(|n| stream.came.get() > n);
        if enough || reader.wrong.is_some() {
            leaves.notify_one();
        }
    };
    let end = tokio::select! {
        biased;
        () = leaves.notified() => None,
        end = answer.content(&mut take) => Some(end),
        () = is_late(stream) => return Err("an event that is held back".to_owned()),
    };
    if let Some(wrong) = reader.wrong {
        return Err(wrong);
    }
    let came = stream.came.get();
    match (end, stream.fate.get()) {
        (None, _) => count(&row.right),
        (Some(Ok(())), Fate::Ended) if came == stream.last => count(&row.right),
        (Some(Ok(())), _) => return Err(format!("ends as if whole after {came}")),
        (Some(Err(_)), Fate::Broken) => count(&row.aborted),
        (Some(Err(_)), _) if stream.broken.borrow().get() => count(&row.aborted),
        (Some(Err(error)), _) => return Err(format!("broke off after {came}: {error}")),
    }
    Ok(())
}

/// Ends when an event was sent, and nothing comes.
async fn is_late(stream: &Stream) {
    loop {
        let came = stream.came.get();
        sleep(SOON).await;
        if stream.came.get() == came && stream.sent.get() > came {
            return;
        }
    }
}

impl Reader {
    fn take(&mut self, some: &[u8]) {
        self.unread.extend_from_slice(some);
        while let Some(at) = memchr::memmem::find(&self.unread, b"\n\n") {
            let told: Vec<u8> = self.unread.drain(..at + 2).collect();
            let told = &told[..at];
            if told == b": still here" {
                continue;
            }
            let n = self.stream.came.get();
            if told != event(self.id, n).as_bytes() {
                let told = String::from_utf8_lossy(told).into_owned();
                self.wrong.get_or_insert(format!("{told:?} for event {n}"));
                return;
            }
            self.stream.came.set(n + 1);
            self.stream.news.notify_one();
        }
    }
}
