//! The right to bring a fill to its end, and the duty to.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::cache::collapse::Fill;
use crate::cache::outcome::Settled;
use crate::proxy::worker::Worker;

/// Held by whoever leads a fill. Dropped before the fill has come to an end, those who wait for it are told, and may try.
pub struct Permit {
    worker: Rc<Worker>,
    fill: Arc<Fill>,
}

impl Permit {
    pub fn new(worker: &Rc<Worker>, fill: Arc<Fill>) -> Self {
        Self {
            worker: worker.clone(),
            fill,
        }
    }
}

impl Deref for Permit {
    type Target = Arc<Fill>;

    fn deref(&self) -> &Arc<Fill> {
        &self.fill
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // One that has come to an end stays as it is.
        self.worker
            .gateway
            .store
            .settle(&self.fill, Settled::Abandoned);
    }
}
