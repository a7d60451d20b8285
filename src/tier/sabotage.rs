//! What a gateway does wrong on purpose, so that the fleet experiment shows that it would find it: `examples/badday` with
//! `fleet`. Only a build with `RUSTFLAGS="--cfg bookend_sabotage"` can; in all others, [`is_on`] is constantly false.

/// A mistake that one can make. The environment variable `BOOKEND_SABOTAGE` names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// `lease`: what is stored is used though no heartbeat allows it any more.
    LeaseWithoutEnd,
    /// `acknowledge`: a purge or a write is acknowledged as soon as it holds at one gateway.
    NoWaiting,
    /// `apply`: what others invalidate is not carried out.
    Deaf,
    /// `epoch`: when an epoch begins, fills in flight are not barred, and what is stored is not validated.
    EpochWithoutBar,
}

/// Whether this mistake is to be made.
#[cfg(not(bookend_sabotage))]
#[inline]
pub const fn is_on(_: Sabotage) -> bool {
    false
}

/// Whether this mistake is to be made.
#[cfg(bookend_sabotage)]
pub fn is_on(which: Sabotage) -> bool {
    static NAMED: std::sync::OnceLock<Option<Sabotage>> = std::sync::OnceLock::new();
    let named = NAMED.get_or_init(|| {
        let name = std::env::var("BOOKEND_SABOTAGE").ok()?;
        let named = match name.as_str() {
            "lease" => Sabotage::LeaseWithoutEnd,
            "acknowledge" => Sabotage::NoWaiting,
            "apply" => Sabotage::Deaf,
            "epoch" => Sabotage::EpochWithoutBar,
            _ => return None,
        };
        tracing::warn!(?named, "this gateway makes a mistake on purpose");
        Some(named)
    });
    *named == Some(which)
}
