//! Why a client's content broke off.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// Why a client's content broke off.
pub fn client_failure(error: Box<dyn StdError + Send + Sync>) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) if is_malformed(&*error) => Error::downstream(ErrorKind::BadRequest)
            .detail("the request's content is malformed")
            .because(error),
        Err(error) => Error::downstream(ErrorKind::ClientGone).because(error),
    }
}

/// Whether content broke off since it could not be decoded.
fn is_malformed(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{InvalidData, InvalidInput};
            return matches!(error.kind(), InvalidData | InvalidInput);
        }
        cause = error.source();
    }
    false
}
