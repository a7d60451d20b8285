//! The answers of the admin API, and why there is none that could be used.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::report::{Exit, print_mistakes};
use crate::config::Mistake;
use crate::printable::{printable, printable_json, printable_lines, printable_value};

/// Characters of what is said there where no gateway is.
const MAX_SAID: usize = 100;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer that could be used.
#[derive(Debug)]
pub enum Failure {
    /// Of the configuration file.
    Mistakes(Vec<Mistake>),
    /// Something that the arguments, the environment or the configuration file say.
    Mistake(String),
    /// There is no answer.
    Unreachable { addr: String, source: Error },
    /// The gateway refused the request, with this status and detail.
    Refused { status: StatusCode, detail: String },
    /// Something else answers there, with this status and the beginning of a text.
    Foreign {
        addr: String,
        status: StatusCode,
        said: String,
    },
}

impl Failure {
    /// Prints it for the subcommand `name`; the exit status that it means.
    pub fn report(&self, name: &str) -> Exit {
        match self {
            Self::Mistakes(mistakes) => {
                print_mistakes(mistakes);
                Exit::Mistake
            }
            Self::Mistake(what) => {
                eprintln!("bookend {name}: {what}");
                Exit::Mistake
            }
            Self::Unreachable { addr, source } => {
                eprintln!("bookend {name}: no answer from the admin API on {addr}: {source}");
                Exit::Failure
            }
            Self::Foreign { addr, status, said } => {
                eprintln!(
                    "bookend {name}: what answers on {addr} is not the admin API of a gateway: it says {status}, \"{said}\""
                );
                Exit::Failure
            }
            Self::Refused { status, detail } => {
                eprintln!("bookend {name}: {status}: {detail}");
                match status.is_client_error() {
                    true => Exit::Mistake,
                    false => Exit::Failure,
                }
            }
        }
    }
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub content: Bytes,
    /// Who has given it, to be shown.
    pub(super) addr: String,
}

impl Answer {
    /// Its text as a terminal may have it, with its ends of lines.
    pub fn text(&self) -> String {
        printable_lines(&String::from_utf8_lossy(&self.content))
    }

    /// The document, to be printed in words: its strings as a terminal may have them.
    pub fn shown(&self) -> Value {
        printable_value(self.document())
    }

    /// The document as JSON that a terminal may have.
    pub fn json(&self) -> String {
        printable_json(&format!("{:#}", self.document()))
    }

    /// The document, `Null` where it is none.
    pub fn document(&self) -> Value {
        serde_json::from_slice(&self.content).unwrap_or_default()
    }

    /// The answer itself where its status is a success.
    pub fn successful(self) -> Result<Self, Failure> {
        if self.status.is_success() {
            return Ok(self);
        }
        match &self.document()["detail"] {
            Value::String(detail) => Err(Failure::Refused {
                status: self.status,
                detail: printable_lines(detail),
            }),
            _ => Err(self.foreign()),
        }
    }

    /// The answer itself where it is a document of the admin API's.
    pub fn with_document(self) -> Result<Self, Failure> {
        let answer = self.successful()?;
        match answer.document() {
            Value::Object(_) => Ok(answer),
            _ => Err(answer.foreign()),
        }
    }

    /// The failure that this is no answer of a gateway.
    pub fn foreign(self) -> Failure {
        let text = String::from_utf8_lossy(&self.content);
        let line = text.trim_start().lines().next().unwrap_or_default();
        Failure::Foreign {
            said: printable(line).chars().take(MAX_SAID).collect(),
            addr: self.addr,
            status: self.status,
        }
    }
}
