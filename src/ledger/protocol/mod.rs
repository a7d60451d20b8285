//! The fleet's protocol, without I/O and without a clock: what gateways and their common server (Valkey, Redis) tell each other, so that
//! after a purge or a write was acknowledged no gateway serves what it covered from before.
//!
//! # How it holds
//!
//! - Invalidations have numbers, in one order, within an **epoch**. A gateway takes them over one after the other: what is covered has left
//!   memory, fills in flight bring nothing, and the index and the local ledger have them. Only then has it *applied* the number.
//! - A response is **stamped** with what was applied when its request was sent. It is used where nothing that covers it has a higher number, in
//!   the same epoch, and where its stamp is not below the ledger's floor.
//! - A gateway serves by freshness alone ([`Use::AsTheyAre`](gateway::Use)) for a **lease** from when it *sent* a heartbeat, once it has
//!   applied the number that the answer tells; a tenth less, since its clock may be slower than another's.
//! - A purge waits until each gateway that was registered when it got its number has applied it, or cannot serve any more. It is acknowledged by
//!   a last word of the server, which must come after that and must have been replicated.
//! - In a run of the server other than that in which the epoch began, anything may be missing: a **new epoch** begins.
//!
//! # What the model has found
//!
//! `tests/` goes through the orders in which things can happen. These mend what the protocol was before; each is a
//! `Sabotage` there, with the shortest way to a wrong answer.
//!
//! 1. *The end of a lease by the purger's clock is not enough to acknowledge* (`NoConfirmation`, 9 steps): a failover may lose the purge
//!    while the other gateway goes on with a lease of the new server, and no lapse that would make it validate. So the server is asked once more,
//!    in the same epoch, after the leases have ended.
//! 2. *That last word must be replicated* (`NoReplication`, 9 steps): a server that has been replaced, and does not know it, would give it. It is
//!    a write followed by WAIT for all replicas, or for none where there are none; `min-replicas-to-write` alone lets ten seconds pass. Leases of a
//!    server that was replaced are what purges in a young epoch wait for.
//! 3. *A gateway's own purge has to be taken over again when its number comes* (`OwnNotAgain`, 5 steps): between its removal at once and its
//!    number, the old response can come back into memory from the shared tier.
//! 4. *The second for which a deaf gateway uses what it has validated* ends when it is not registered any more (`AskedForever`, 12 steps): purges
//!    do not wait for it then. Then only responses that were asked for after the request came are used.
//! 5. *A heartbeat registers a gateway only once it has applied what the answer tells* (`RegisteredUnapplied`, 13 steps): a purge before the
//!    heartbeat did not wait for a gateway that was forgotten, and that has a response of that second.
//! 6. *A fill does not go on into a new epoch* (`FillIntoEpoch`, 12 steps): the purge that covers it may be lost.
//! 7. *The clock is read after the request has come* (`OldClock`, 6 steps): else a process that was stopped in between serves by a lease that
//!    others have seen end.
//!
//! 8. *No script of the ledger reads the server's clock.* Redis has the wall clock: were it set forward, leases would seem to have ended. A
//!    purger counts the whole lease from when it saw a gateway's latest heartbeat; gateways are swept, and an epoch counts as settled, by the
//!    clocks of the gateways. A gateway numbers its heartbeats itself: counted by the server, the same number would come again after it was swept,
//!    and look like silence (`BeatsCountedAnew`, 14 steps).
//!
//! # What callers owe
//!
//! - [`Gateway::applied`](gateway::Gateway::applied) is told only after all has been done that it stands for, the local ledger's
//!   file included. A record on disk has the stamp of the local ledger alone, so a newcomer takes all over that the fleet remembers, and has
//!   all that it kept validated, before it serves.
//! - The stamp is read before the request is sent, epoch and number together; a response of another epoch is not stored.
//! - A response of the shared tier is judged again when it enters memory, under the lock under which invalidations remove.
//! - A snapshot is read after its sequence number, where it cannot be read at once; the log is followed from that number on.
//! - All gateways of a namespace have the same [`Timing`](timing::Timing), so `when_deaf` too.

pub mod fills;
pub mod gateway;
pub mod server;
pub mod timing;

#[cfg(test)]
mod tests;
