//! The error for content that a client did not send whole.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

use crate::error::{Error, ErrorKind};

/// The error for content that ended too early: content that cannot be decoded is malformed, else the client is gone.
pub fn client_failure(error: Box<dyn StdError + Send + Sync>) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput};
    let error = match error.downcast::<Error>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let mut causes = successors(Some(&*error as &(dyn StdError + 'static)), |cause| {
        (*cause).source()
    });
    let failure = causes.find_map(|cause| cause.downcast_ref::<io::Error>());
    match failure.map(io::Error::kind) {
        Some(InvalidData | InvalidInput) => Error::downstream(ErrorKind::BadRequest)
            .detail("the request's content is malformed")
            .because(error),
        _ => Error::downstream(ErrorKind::ClientGone).because(error),
    }
}
