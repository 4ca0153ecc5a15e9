//! Owns the taking over of a running relay, from the side of the new process:
//! it asks, takes everything in, says so when nothing more can go wrong, and once
//! more when it serves. Never turns a loop: until [`Standing::commit`] has
//! returned another one serves.

use super::bounded::Bounded;
use super::protocol::{Answer, Ask, BanRow, Goods, Taking, Terms, Yours};
use super::takeover::read_line;
use crate::config::TAKEOVER_DEADLINE_MS;
use crate::server::{IMAGE_VERSION, InheritError, udp_socket};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than the other one waits: it decides first.
const PATIENCE: Duration = Duration::from_millis(2 * TAKEOVER_DEADLINE_MS);
/// Bytes of an image at most: more than all the memory that the settings allow.
const IMAGE_BYTES_MAX: u64 = 16 << 30;

/// Why nothing was taken over. The relay that runs goes on.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Nobody listens there, or it is not ours to open.
    #[error("cannot take over at {0}: {1}")]
    Unreachable(PathBuf, io::Error),
    /// The relay that runs does not hand over.
    #[error("not taken over: {0}")]
    Refused(String),
    /// The connection broke, or something else than a relay is there.
    #[error("not taken over: the relay that runs does not answer: {0}")]
    Broken(#[from] io::Error),
    /// What it handed over is no socket for a relay.
    #[error("not taken over: {0}")]
    Socket(#[from] InheritError),
}

/// A relay that would hand over.
pub struct Claim {
    talk: BufReader<Bounded>,
    address: SocketAddr,
    place: PathBuf,
}

/// All that a relay has handed over.
pub struct Taken {
    /// Its socket.
    pub socket: UdpSocket,
    /// Its state: for [`Server::resume`](crate::server::Server::resume).
    pub image: Vec<u8>,
    /// The listener of its admin face, if it had one.
    pub admin: Option<TcpListener>,
    /// The relay itself, which has not ended yet.
    pub standing: Standing,
}

/// A relay that stands still, until this is committed. When it is dropped
/// instead, or too much time has passed, that relay goes on.
pub struct Standing {
    talk: BufReader<Bounded>,
    pub(super) place: PathBuf,
    pub(super) control: Option<UnixListener>,
    pub(super) bans: Vec<BanRow>,
    pub(super) keeps_socket: bool,
}

/// A relay that was taken over. Its process waits for [`serving`](Self::serving),
/// and goes on when this is dropped instead.
pub struct Committed {
    now_ns: Option<u64>,
    talk: BufReader<Bounded>,
}

impl Claim {
    /// Asks the relay whose control socket is at `path` whether it would hand over.
    ///
    /// # Errors
    /// There is none, or it would not.
    pub fn open(path: &Path) -> Result<Self, ClaimError> {
        let unreachable = |error| ClaimError::Unreachable(path.to_owned(), error);
        let stream = UnixStream::connect(path).map_err(unreachable)?;
        let mut talk = BufReader::new(Bounded::new(stream, PATIENCE).map_err(unreachable)?);
        tell(&mut talk, &Ask::Takeover { version: IMAGE_VERSION })?;
        let Terms { address } = answer(&mut talk)?;
        Ok(Self { talk, address, place: path.to_owned() })
    }

    /// The address of its socket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes it stand still, and takes in what it has.
    ///
    /// # Errors
    /// It does not hand over, or not all of it came.
    pub fn take(mut self) -> Result<Taken, ClaimError> {
        self.talk.get_mut().extend(PATIENCE);
        tell(&mut self.talk, &Ask::HandOver { version: IMAGE_VERSION, pid: std::process::id() })?;
        // Nothing was sent ahead that the reader could have kept.
        let (byte, descriptors) = self.talk.get_mut().receive_descriptors()?;
        let mut descriptors = descriptors.into_iter();
        let Some(socket) = descriptors.next() else { return Err(self.refusal(byte)) };
        let control = descriptors.next().map(UnixListener::from);
        let Goods { bytes, admin, bans } = answer(&mut self.talk)?;
        let admin = if admin { descriptors.next().map(TcpListener::from) } else { None };
        let mut image = Vec::new();
        (&mut self.talk).take(bytes.min(IMAGE_BYTES_MAX)).read_to_end(&mut image)?;
        if image.len() as u64 != bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let standing = Standing { talk: self.talk, place: self.place, control, bans, keeps_socket: false };
        Ok(Taken { socket: udp_socket(socket)?, image, admin, standing })
    }

    /// What was said instead, of which the first byte was read.
    fn refusal(mut self, first: u8) -> ClaimError {
        let mut line = io::Cursor::new([first]).chain(&mut self.talk);
        match read_line(&mut line) {
            Ok(Answer::Failed(why)) => ClaimError::Refused(why),
            Ok(_) => io::Error::other("it hands over no socket").into(),
            Err(error) => error.into(),
        }
    }
}

impl Standing {
    /// Says that all is ready. When this has returned, the relay is this process's.
    ///
    /// The other one answers by its own deadline, or before it closes the stream: an
    /// end without an answer is its death. So nothing is too late here.
    ///
    /// # Errors
    /// The other one goes on.
    pub fn commit(self) -> Result<Committed, ClaimError> {
        let mut talk = self.talk;
        let told = tell(&mut talk, &Taking { keeps_socket: self.keeps_socket });
        talk.get_mut().unbind();
        match (told, answer(&mut talk)) {
            (_, Err(refused @ ClaimError::Refused(_))) => Err(refused),
            // It did not hear: it may have gone on, and not been able to say so.
            (Err(error), _) => Err(error.into()),
            (Ok(()), Ok(Yours { now_ns })) => Ok(Committed { now_ns: Some(now_ns), talk }),
            (Ok(()), Err(ClaimError::Broken(end))) if is_end(&end) => Ok(Committed { now_ns: None, talk }),
            (Ok(()), Err(error)) => Err(error),
        }
    }
}

impl Committed {
    /// What its clock shows, in ns: for [`Server::set_clock`](crate::server::Server::set_clock).
    /// `None`: it died before it could say so.
    pub fn now_ns(&self) -> Option<u64> {
        self.now_ns
    }

    /// Says that the loop begins: the other process ends.
    pub fn serving(mut self) {
        // If it is dead, this one serves nonetheless.
        let _ = self.talk.get_mut().write_all(b"\n");
    }
}

/// Whether there was an end in the place of an answer.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

fn tell(talk: &mut BufReader<Bounded>, what: &impl Serialize) -> io::Result<()> {
    let line = serde_json::to_string(what).map_err(io::Error::other)? + "\n";
    talk.get_mut().write_all(line.as_bytes())
}

/// What came of what was asked.
fn answer<T: DeserializeOwned>(talk: &mut BufReader<Bounded>) -> Result<T, ClaimError> {
    match read_line(talk)? {
        Answer::Done(value) => Ok(serde_json::from_value(value).map_err(io::Error::other)?),
        Answer::Failed(why) => Err(ClaimError::Refused(why)),
        Answer::Row(_) => Err(io::Error::other("it lists something").into()),
    }
}
