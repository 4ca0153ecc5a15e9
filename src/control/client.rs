//! Owns the asking end of the control socket: one request, its rows, its end.
//! Never shows anything.

use super::protocol::{Answer, Ask};
use crate::config::CONTROL_IDLE_MS;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The connection broke, or nothing came for too long.
    #[error("the relay does not answer: {0}")]
    Broken(#[from] io::Error),
    /// It was not done.
    #[error("{0}")]
    Failed(String),
}

/// A connection to a relay's control socket.
pub struct Client {
    input: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the relay that listens at `path`.
    ///
    /// # Errors
    /// Nobody listens there, or it is not ours to open.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        let wait = Some(Duration::from_millis(CONTROL_IDLE_MS));
        stream.set_read_timeout(wait)?;
        stream.set_write_timeout(wait)?;
        Ok(Self { input: BufReader::new(stream) })
    }

    /// Asks for something; each row of the answer goes to `row`. Returns what came of it.
    ///
    /// # Errors
    /// It was not done, or there is no answer; `row` failed.
    pub fn ask(&mut self, ask: &Ask, mut row: impl FnMut(Value) -> io::Result<()>) -> Result<Value, AskError> {
        let line = serde_json::to_string(ask).map_err(io::Error::other)? + "\n";
        self.input.get_mut().write_all(line.as_bytes())?;
        loop {
            match self.next()? {
                Answer::Row(value) => row(value)?,
                Answer::Done(value) => return Ok(value),
                Answer::Failed(why) => return Err(AskError::Failed(why)),
            }
        }
    }

    fn next(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(io::Error::other("it has ended"));
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}
