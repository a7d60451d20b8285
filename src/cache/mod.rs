//! Where responses live: keys, stored responses, the store, bodies that are still coming, and the collapse of
//! concurrent misses. Knows nothing of connections.

pub mod body;
pub mod budget;
pub mod collapse;
pub mod content;
pub mod cors;
pub mod fields;
pub mod head;
pub mod head_template;
pub mod index;
pub mod key;
mod known;
pub mod outcome;
pub mod record;
pub mod resource;
pub mod search;
pub mod store;
pub mod stored;
mod sync;
