//! From a request to a response's head: which server and connection carry it, and when it may be sent again.
//!
//! Nothing that may have been processed is sent twice, unless twice is as good as once (RFC 9110 §9.2.2). What was never
//! written may always be sent again.

use std::error::Error as _;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use smallvec::SmallVec;

use crate::config::HostPolicy;
use crate::error::{Error, ErrorKind, Side};
use crate::upstream::balance::{Balancer, Choice, Field, Numbers};
use crate::upstream::health::circuit::Silence;
use crate::upstream::health::state::Fitness;
use crate::upstream::http1::connection::{Fate, Unanswered};
use crate::upstream::incoming::Incoming;
use crate::upstream::pool::{Grant, Lease, Pool, Want, too_late};
use crate::upstream::request_body::{RequestBody, Upload};
use crate::upstream::request_head::{Target, frame};
use crate::upstream::response_body::{After, UpstreamBody};
use crate::upstream::response_head::{Asked, inspect};
use crate::upstream::server::Server;
use crate::upstream::{Maker, Outgoing, Waiting, Worker};

/// How often a request goes to a server that refuses it (RFC 9113 §6.8, §8.7) and does nothing with it.
const MAX_REFUSALS: usize = 8;

/// A request, and what stays the same over all attempts to send it.
pub(in crate::upstream) struct Sending<'a> {
    /// `None` while it is on its way, and when it may not be sent again. It is large, and stays in this place until it
    /// is handed to a connection.
    request: Option<Request<RequestBody>>,
    make: Option<&'a Maker<'a>>,
    target: Target,
    asked: Asked,
    upload: Option<Upload>,
    idempotent: bool,
    hash: Option<u64>,
    waiting: Waiting,
}

/// One attempt to send a request.
struct Attempt {
    /// To which server.
    server: usize,
    /// Whether it goes to another that has room before that one.
    waits_elsewhere: bool,
    /// Whether no other attempt can follow.
    last: bool,
    /// What the server had answered before it.
    answers: u64,
}

impl Worker {
    pub(in crate::upstream) async fn send(
        &self,
        mut sending: Sending<'_>,
    ) -> Result<Response<UpstreamBody>, Error> {
        self.budget.save();
        self.first_checks().await;
        let mut tried = SmallVec::<[usize; 4]>::new();
        let mut choice = self
            .choose(&sending, &tried)
            .ok_or_else(|| self.unavailable())?;
        loop {
            let (first, trial) = match choice {
                Choice::Server(server) => (server, None),
                Choice::Trial(server) => (server, Some(Trial(self.pools[server].server()))),
            };
            let last =
                tried.len() >= self.shared.retries.max || tried.len() + 1 >= self.pools.len();
            let mut attempt = Attempt {
                server: first,
                waits_elsewhere: trial.is_none(),
                last,
                answers: 0,
            };
            let sent = self.attempt(&mut attempt, &mut sending, &tried).await;
            let pool = &self.pools[attempt.server];
            tried.push(attempt.server);
            let error = match sent {
                Ok(response) => {
                    self.note_answer(pool, &response);
                    return Ok(response);
                }
                Err(error) => error,
            };
            self.note_failure(pool.server(), &error);
            // What answers others meanwhile is not silent, whatever this request has met with.
            if pool.answers() == attempt.answers {
                self.note_silence(pool.server(), &error, trial.is_some());
            }
            drop(trial);
            let next = match sending.request {
                // It has waited for whichever server has room first: another line has nothing better.
                Some(_) if error.kind() == ErrorKind::ConnectionLimit => None,
                Some(_) if !last => self.choose(&sending, &tried),
                _ => None,
            };
            match next {
                Some(next) if self.budget.spend(self.clock.now().mono) => choice = next,
                _ => return Err(error),
            }
            self.counters.upstream_retries.inc();
        }
    }

    /// Where no server is known to be healthy yet, waits for the first health check that says so, or until each server has
    /// been checked once. That takes no longer than one check.
    async fn first_checks(&self) {
        if self.shared.health.path.is_none() || self.pools.len() < 2 {
            return;
        }
        let decided = async {
            loop {
                let mut checked = pin!(self.shared.checked.notified());
                checked.as_mut().enable();
                let now = self.clock.now().mono;
                let mut fitness = self.shared.servers.iter().map(|server| {
                    let is_awaited = !server.checks().have_found_any();
                    (server.fitness(now), is_awaited)
                });
                let is_awaited = |&(fitness, awaited)| fitness == Fitness::Unchecked && awaited;
                let known = |&(fitness, _)| matches!(fitness, Fitness::Fit(_) | Fitness::Resting);
                let all: SmallVec<[_; 8]> = fitness.by_ref().collect();
                if all.iter().any(known) || !all.iter().any(is_awaited) {
                    return;
                }
                checked.await;
            }
        };
        // The worker that asks may be about to stop.
        let _late = tokio::time::timeout(self.shared.health.timeout, decided).await;
    }

    fn choose(&self, sending: &Sending<'_>, tried: &[usize]) -> Option<Choice> {
        self.balancer.choose(&self.field(), sending.hash, tried)
    }

    fn field(&self) -> Servers<'_> {
        Servers {
            worker: self,
            now: self.clock.now().mono,
        }
    }

    /// No server can be asked, until the next trial or check of one of them.
    fn unavailable(&self) -> Error {
        self.counters.unavailable.inc();
        let now = self.clock.now().mono;
        let servers = self.shared.servers.iter();
        let waits = servers.map(|server| match server.fitness(now) {
            Fitness::Unwell => self.shared.health.interval,
            // What it has said itself is the better guess.
            _ => (server.circuit().wait(now)).max(server.standing().rest_left(now)),
        });
        let kind = ErrorKind::DestinationUnavailable;
        let error = Error::upstream(kind).lasting(waits.min().unwrap_or_default());
        let mut servers = self.shared.servers.iter();
        match servers.find_map(|server| server.latest_failure()) {
            None => error,
            Some(failure) => {
                let (kind, failed) = (kind.explanation(), failure.explanation());
                let error = error.detail(format!("{kind}; the latest failure: {failed}"));
                match failure.source() {
                    None => error,
                    Some(cause) => error.because(cause.to_string()),
                }
            }
        }
    }

    /// Sends a request to one server: once more on a fresh connection when a pooled one turned out to be dead, or
    /// took no more requests.
    async fn attempt(
        &self,
        attempt: &mut Attempt,
        sending: &mut Sending<'_>,
        tried: &[usize],
    ) -> Result<Response<UpstreamBody>, Error> {
        sending.aim(self.pools[attempt.server].server(), self.shared.host)?;
        if !sending.idempotent {
            // One turn of the runtime, so that connections whose end has arrived are known to be closed: there is no
            // second chance for this request once it has been written.
            tokio::task::yield_now().await;
        }
        let mut want = Want::Any;
        let mut refusals = 0;
        loop {
            let mut lease = self.acquire(attempt, want, sending, tried).await?;
            let may_be_dead = lease.is_reused() && want == Want::Any;
            // A server may refuse what it has not looked at on a shared connection, and take nothing on a dead one.
            let wanted = lease.is_shared() || may_be_dead || sending.idempotent && !attempt.last;
            let spare = (wanted && sending.make.is_none())
                .then(|| sending.request.as_ref().map(copy))
                .flatten();
            let request = sending.request.take().ok_or_else(Error::internal)?;
            self.counters.upstream_requests.inc();
            sending.waiting.sent();
            let timeout = self.shared.response_timeout;
            let unanswered = match lease.exchange(request, timeout).await {
                Ok(response) => {
                    lease.has_answered();
                    return sending.receive(response, lease);
                }
                Err(unanswered) => unanswered,
            };
            let refused = lease.is_shared() && unanswered.fate == Fate::Refused;
            refusals += usize::from(refused);
            // Of all that go over to a fresh connection together, a server that takes few on each refuses the last ones
            // again. One that refuses the first of a connection takes none.
            let refused = refused
                && refusals < MAX_REFUSALS
                && (want == Want::Any || lease.is_among_others());
            let error = sending.judge(unanswered, spare);
            if sending.request.is_none() || !(may_be_dead || refused) {
                if error.side() == Side::Upstream {
                    lease.has_failed(&error);
                }
                return Err(error);
            }
            self.counters.upstream_retries.inc();
            want = if refusals > 1 { Want::Own } else { Want::Fresh };
            sending.aim(self.pools[attempt.server].server(), self.shared.host)?;
        }
    }

    /// A connection to the attempt's server, or to another that has room before it.
    ///
    /// Fails with [`ErrorKind::ConnectionLimit`] when none has room in time, or too many wait, and with what keeps the
    /// connection from being opened.
    async fn acquire(
        &self,
        attempt: &mut Attempt,
        want: Want,
        sending: &mut Sending<'_>,
        tried: &[usize],
    ) -> Result<Lease, Error> {
        let pool = &self.pools[attempt.server];
        attempt.answers = pool.answers();
        if let Some(grant) = pool.grant(want)
            && let Some(lease) = pool.redeem(grant).await?
        {
            return Ok(lease);
        }
        // Those that wait count as its load.
        let _load = Lease::new(pool);
        let waiting = sending.waiting.clone();
        let queued = waiting.queue();
        let wait = Box::pin(self.await_lease(attempt, want, tried));
        let waited = tokio::time::timeout(pool.limits().queue_timeout, wait).await;
        let lease = waited.unwrap_or_else(|_elapsed| Err(too_late()))?;
        queued.last_look().await;
        sending.aim(lease.pool().server(), self.shared.host)?;
        Ok(lease)
    }

    async fn await_lease(
        &self,
        attempt: &mut Attempt,
        want: Want,
        tried: &[usize],
    ) -> Result<Lease, Error> {
        loop {
            let servers = match attempt.waits_elsewhere {
                true => Balancer::to_wait_at(&self.field(), attempt.server, tried),
                false => Numbers::from_elem(attempt.server, 1),
            };
            let (server, grant) = self.first_grant(&servers, want).await;
            let pool = &self.pools[server];
            attempt.server = server;
            attempt.answers = pool.answers();
            if let Some(lease) = pool.redeem(grant?).await? {
                return Ok(lease);
            }
        }
    }

    /// The first grant of any of `servers`, and whose it is; the last failure when all have failed.
    async fn first_grant(&self, servers: &[usize], want: Want) -> (usize, Result<Grant, Error>) {
        let wait = |server: &usize| (*server, Box::pin(self.pools[*server].await_grant(want)));
        let mut waits: SmallVec<[_; 4]> = servers.iter().map(wait).collect();
        poll_fn(|cx| {
            let mut at = 0;
            while let Some((server, wait)) = waits.get_mut(at) {
                let server = *server;
                match wait.as_mut().poll(cx) {
                    Poll::Ready(Err(_)) if waits.len() > 1 => drop(waits.remove(at)),
                    Poll::Ready(grant) => return Poll::Ready((server, grant)),
                    Poll::Pending => at += 1,
                }
            }
            Poll::Pending
        })
        .await
    }

    fn note_answer(&self, pool: &Pool, response: &Response<UpstreamBody>) {
        let (server, now) = (pool.server(), self.clock.now().mono);
        pool.count_answer();
        if server.circuit().heard() {
            tracing::info!(server = %server.url(), "answers again");
        }
        server.standing().succeeded(now);
        if response.status() == StatusCode::SERVICE_UNAVAILABLE
            && let Some(pause) = retry_after(response.headers())
        {
            server.standing().rest(now, pause);
        }
    }

    fn note_failure(&self, server: &Server, error: &Error) {
        // A full queue is no sign that the server is unwell, and a client that left is none either.
        if error.side() != Side::Upstream || error.kind() == ErrorKind::ConnectionLimit {
            return;
        }
        server.note_failure(error);
        if server.standing().failed(self.clock.now().mono) {
            tracing::warn!(server = %server.url(), failure = %error, "ejected");
        }
    }

    /// A request has ended in `error`, and meanwhile nothing came from the server.
    fn note_silence(&self, server: &Server, error: &Error, trial: bool) {
        let (circuit, now) = (server.circuit(), self.clock.now().mono);
        match Silence::of(error.kind()) {
            _ if error.side() != Side::Upstream => {}
            Some(_) if circuit.silent(now) => {
                tracing::warn!(server = %server.url(), failure = %error, "requests to it fail one after another: it gets none but one at a time that tries it");
            }
            Some(silence) if trial => circuit.trial_failed(now, silence),
            // It is there, and what comes of the next request is known soon.
            None if trial && error.kind() != ErrorKind::ConnectionLimit => {
                circuit.heard();
            }
            _ => {}
        }
    }
}

/// A pause in seconds; a date is not heeded, since a server whose clock is wrong would be left out for long.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let seconds = fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)))
}

/// The servers as one worker sees them at one moment.
struct Servers<'a> {
    worker: &'a Worker,
    now: crate::clock::Monotonic,
}

impl Servers<'_> {
    fn server(&self, server: usize) -> &Server {
        &self.worker.shared.servers[server]
    }
}

impl Field for Servers<'_> {
    fn len(&self) -> usize {
        self.worker.shared.servers.len()
    }

    fn fitness(&self, server: usize) -> Fitness {
        self.server(server).fitness(self.now)
    }

    fn load(&self, server: usize) -> usize {
        self.server(server).load()
    }

    fn has_room(&self, server: usize) -> bool {
        self.worker.pools[server].has_room()
    }

    fn identity(&self, server: usize) -> u64 {
        self.server(server).identity()
    }

    fn is_cut_off(&self, server: usize) -> bool {
        self.server(server).is_cut_off()
    }

    fn begin_trial(&self, server: usize, urgent: bool) -> bool {
        let server = self.server(server);
        server.circuit().wait(self.now).is_zero() && server.standing().begin_trial(self.now, urgent)
    }
}

/// A request that tries a server that is ejected or cut off, until it is dropped.
struct Trial<'a>(&'a Server);

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.0.standing().end_trial();
    }
}

impl<'a> Sending<'a> {
    pub(in crate::upstream) fn new(outgoing: Outgoing, make: Option<&'a Maker<'a>>) -> Self {
        let Outgoing {
            mut request,
            idempotent,
            hash,
            waiting,
        } = outgoing;
        frame(&mut request);
        Self {
            target: Target::of(&request),
            asked: Asked::of(&request),
            upload: request.body().upload(),
            idempotent,
            hash,
            waiting: waiting.unwrap_or_default(),
            make,
            request: Some(request),
        }
    }

    /// Sets what depends on the server. A request for which that cannot be done is not sent to another either.
    fn aim(&mut self, server: &Server, host: HostPolicy) -> Result<(), Error> {
        let aimed = match &mut self.request {
            Some(request) => self.target.aim(request, server, host),
            None => Err(Error::internal()),
        };
        if aimed.is_err() {
            self.request = None;
        }
        aimed
    }

    /// Puts the request back where it may be sent again: as it came back unsent, as `spare`, its copy, or made anew.
    fn judge(&mut self, unanswered: Unanswered, spare: Option<Request<RequestBody>>) -> Error {
        let Unanswered {
            error,
            unsent,
            fate,
        } = unanswered;
        let harmless = match fate {
            Fate::Refused => true,
            Fate::Silent => self.idempotent,
            Fate::Answered => false,
        };
        self.request = match unsent {
            None if harmless => spare.or_else(|| self.made()),
            unsent => unsent,
        };
        if self.request.is_some() && !self.upload.as_ref().is_none_or(Upload::rewind) {
            self.request = None;
        }
        error
    }

    fn made(&self) -> Option<Request<RequestBody>> {
        let mut request = self.make?()?;
        frame(&mut request);
        Some(request)
    }

    fn receive(
        &self,
        mut response: Response<Incoming>,
        lease: Lease,
    ) -> Result<Response<UpstreamBody>, Error> {
        let framing = inspect(&mut response, self.asked)?;
        let switched = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
            .then(|| hyper::upgrade::on(&mut response));
        let after = if self.upload.as_ref().is_some_and(Upload::is_refused) {
            // Content that was announced and never sent ends the connection (RFC 9110 §10.1.1).
            After::Close
        } else if response.version() == Version::HTTP_10 {
            // On a connection that has spoken HTTP/1.0, hyper drops the content of the next chunked request without a word.
            After::Finish
        } else {
            After::Keep
        };
        if let Some(upload) = &self.upload {
            // Both directions may go on from here for as long as they like.
            upload.limit_stalls(false);
            upload.forget();
        }
        Ok(response.map(|incoming| match switched {
            Some(switched) => UpstreamBody::switched(incoming, switched, lease),
            None => UpstreamBody::new(incoming, framing, lease, after, self.upload.clone()),
        }))
    }
}

/// A second request like this one, with the same content.
fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(request.body().share());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}
