//! Where responses live: keys, stored responses, the store, bodies that are still coming, and the collapse of
//! concurrent misses. Knows nothing of connections.

pub mod body;
pub mod budget;
pub mod key;
