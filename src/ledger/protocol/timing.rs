//! How long what holds, in the fleet. It must be the same on all gateways of a namespace.

/// A point in time, in milliseconds of a clock that never steps back and runs on through suspend; or a span of it.
pub type Time = u64;

/// The spans of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// From a heartbeat on, a gateway that hears may serve without asking.
    pub lease: Time,
    /// A gateway that cannot hear serves on for so long after the lease (`when_deaf = "serve:30s"`), 0 if it validates.
    pub deaf: Time,
    /// A gateway that cannot hear uses a response for so long after it asked for it.
    pub asked: Time,
    /// A gateway is remembered for so long after its lease: purges take it into account.
    pub registered: Time,
    /// A server that was replaced may go on answering for so long.
    pub replaced: Time,
    /// Clocks may differ by so many thousandths of any of these spans.
    pub drift: Time,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: 3_000,
            deaf: 0,
            asked: 1_000,
            registered: 30_000,
            replaced: 15_000,
            drift: 100,
        }
    }
}

impl Timing {
    /// A heartbeat allows a gateway to serve for so long, by the server's clock.
    pub fn holds(&self) -> Time {
        self.lease + self.deaf
    }

    /// After a new epoch has begun, gateways that heard the server before it may serve for so long.
    pub fn unknown(&self) -> Time {
        self.replaced + self.holds().max(self.asked)
    }

    /// A span as a gateway may use it that another one waits for: shorter, since its clock may be slower.
    pub fn shortened(&self, span: Time) -> Time {
        span.saturating_sub((span * self.drift).div_ceil(1_000))
    }
}
