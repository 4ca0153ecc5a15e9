//! Owns the handing over of a running relay, from the side of the one that is
//! there: what it says to the process that wants its place, and until when
//! nothing has happened. Never looks into what it hands over.
//!
//! The loop stands still from the offer on. Until `Yours` is written this
//! process goes on after whatever goes wrong; once it is written it is silent.

use super::bounded::Bounded;
use super::protocol::{Answer, BanRow, Goods, Taking, Yours};
use crate::config::{TAKEOVER_DEADLINE_MS, TAKEOVER_FAREWELL_MS};
use crate::server::{Handle, IMAGE_VERSION, Offer};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Bytes of one line at most, but for the one with the bans.
const LINE_BYTES_MAX: u64 = 4096;

/// A process that asked for this relay's place.
pub(super) struct Claimant {
    pub(super) stream: UnixStream,
    pub(super) version: u32,
    pub(super) pid: u32,
}

/// What goes along with the relay.
pub(super) struct Luggage<'a> {
    pub(super) control: BorrowedFd<'a>,
    pub(super) admin: Option<BorrowedFd<'a>>,
    pub(super) bans: Vec<BanRow>,
}

/// Another process has the relay.
#[derive(Debug)]
pub(super) struct Taken {
    /// It listens at this one's control socket.
    pub(super) keeps_socket: bool,
    /// For how long the loop stood still, in ns.
    pub(super) stood_ns: u64,
}

/// Why a relay of this version hands nothing to one of `version`.
pub(super) fn other_version(version: u32) -> Option<String> {
    (version != IMAGE_VERSION).then(|| {
        format!(
            "the relay that runs (outcry {}) hands over version {IMAGE_VERSION}, and version {version} was asked for: \
             stop it, and start the new one",
            env!("CARGO_PKG_VERSION")
        )
    })
}

/// Hands the relay to whoever claims it, unless there is an objection.
///
/// # Errors
/// It is not handed over, and goes on; and why.
pub(super) fn hand_over(
    claimant: Claimant,
    objection: Option<String>,
    relay: &Handle,
    luggage: Luggage<'_>,
) -> Result<Taken, String> {
    let broken = |error: io::Error| format!("the new process does not answer: {error}");
    let mut talk = Bounded::new(claimant.stream, Duration::from_millis(TAKEOVER_DEADLINE_MS)).map_err(broken)?;
    if let Some(why) = objection {
        let _ = talk.write_all(Answer::Failed(why.clone()).line().as_bytes());
        return Err(why);
    }
    let offer = relay.hand_over().ok_or("the relay has ended, or cannot share its socket")?;
    talk.extend(Duration::from_millis(TAKEOVER_DEADLINE_MS));
    let taking = present(&mut talk, &offer, luggage).map_err(broken)?;
    let now_ns = offer.now_ns();
    // Whatever is after this line is its business.
    say(&mut talk, &Yours { now_ns }).map_err(broken)?;
    let stood_ns = offer.stood_ns();
    offer.conclude();
    farewell(talk);
    Ok(Taken { keeps_socket: taking.keeps_socket, stood_ns })
}

/// Shows it all. Returns what the new process says when it could go on.
fn present(talk: &mut Bounded, offer: &Offer, luggage: Luggage<'_>) -> io::Result<Taking> {
    let Luggage { control, admin, bans } = luggage;
    let descriptors: Vec<_> = [offer.socket(), control].into_iter().chain(admin).collect();
    let goods = Goods { bytes: offer.image().len() as u64, admin: admin.is_some(), bans };
    talk.send_descriptors(&descriptors)?;
    say(talk, &goods)?;
    talk.write_all(offer.image())?;
    read_line(&mut BufReader::new(talk.take(LINE_BYTES_MAX)))
}

/// Waits until the new process has told its manager and closed the stream: with
/// our end a manager would take the relay for gone.
fn farewell(mut talk: Bounded) {
    talk.extend(Duration::from_millis(TAKEOVER_FAREWELL_MS));
    let _ = talk.read(&mut [0]);
}

/// Says that something is done, and what came of it.
fn say(talk: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let done = Answer::Done(serde_json::to_value(what).map_err(io::Error::other)?);
    talk.write_all(done.line().as_bytes())
}

/// A line that is JSON.
pub(super) fn read_line<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    if !line.ends_with('\n') {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}
