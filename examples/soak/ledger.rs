//! What a client and the API know of one exchange: both are in this process, so that each can be held to the other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::kit::wire::Head;

/// The field that tells which exchange a request belongs to.
pub const ID: &str = "x-exchange";

/// How often one side looks what the other has come to.
const LOOK: Duration = Duration::from_millis(2);

/// How long either side may take to learn what the other has come to.
const SOON: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Ledger<T> {
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<T>>>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self {
            next: Cell::new(1),
            open: RefCell::default(),
        }
    }
}

impl<T> Ledger<T> {
    /// A new exchange, and its number.
    pub fn enter(&self, exchange: T) -> (u64, Rc<T>) {
        let id = self.next.replace(self.next.get() + 1);
        let exchange = Rc::new(exchange);
        self.open.borrow_mut().insert(id, exchange.clone());
        (id, exchange)
    }

    /// The exchange that a request belongs to, and its number.
    pub fn find(&self, head: &Head) -> Option<(u64, Rc<T>)> {
        let id = head.field(ID)?.parse().ok()?;
        let exchange = self.open.borrow().get(&id).cloned()?;
        Some((id, exchange))
    }

    pub fn leave(&self, id: u64) {
        self.open.borrow_mut().remove(&id);
    }
}

/// Waits until it is so; false when it does not come to that soon.
pub async fn comes_to(so: impl Fn() -> bool) -> bool {
    let waiting = async {
        while !so() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.is_ok()
}
