//! What scripts answer, read into numbers and octets. Everything is `None` where the answer is another one.

use redis::Value;

use crate::ledger::protocol::gateway::Answer;
use crate::ledger::protocol::server::WrongEpoch;

/// The answer of a script that says nothing when its epoch is over.
pub fn in_epoch<T>(value: Value, read: impl Fn(Value) -> Option<T>) -> Option<Answer<T>> {
    match value {
        Value::Nil => Some(Err(WrongEpoch)),
        value => read(value).map(Ok),
    }
}

pub fn number(value: Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).ok(),
        value => std::str::from_utf8(&octets(value)?).ok()?.parse().ok(),
    }
}

pub fn octets(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(octets) => Some(octets),
        _ => None,
    }
}

pub fn list<const N: usize>(value: Value) -> Option<[Value; N]> {
    values(value)?.try_into().ok()
}

pub fn values(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

/// A list in which two values belong together.
pub fn pairs<A, B>(
    value: Value,
    first: impl Fn(Value) -> Option<A>,
    second: impl Fn(Value) -> Option<B>,
) -> Option<Vec<(A, B)>> {
    let mut values = values(value)?.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(value) = values.next() {
        pairs.push((first(value)?, second(values.next()?)?));
    }
    Some(pairs)
}
