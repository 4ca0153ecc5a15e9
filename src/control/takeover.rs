//! Owns the handing over of a running relay, from the side of the one that is
//! there: what it says to the process that wants its place, and until when
//! nothing has happened. Never looks into what it hands over.
//!
//! The loop stands still from the offer on. Until `Yours` is written this process
//! goes on after whatever goes wrong, and always says so before it closes the
//! stream; to the other one an end without a word is this one's death. Once
//! `Yours` is written it is for the other one to serve, and only its death
//! before it has said that it does makes this process go on.

use super::bounded::Bounded;
use super::protocol::{Answer, BanRow, Goods, Taking, Yours};
use crate::config::{TAKEOVER_DEADLINE_MS, TAKEOVER_REFUSAL_MS};
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
    let mut talk = Bounded::new(claimant.stream, Duration::from_millis(TAKEOVER_DEADLINE_MS)).map_err(broken)?;
    let done = objection.map_or_else(|| offer(&mut talk, relay, luggage), Err);
    if let Err(why) = &done {
        refuse(talk, why);
    }
    done
}

/// Offers it, until the other process serves or this one goes on.
fn offer(talk: &mut Bounded, relay: &Handle, luggage: Luggage<'_>) -> Result<Taken, String> {
    let offer = relay.hand_over().ok_or("the relay has ended, or cannot share its socket")?;
    talk.extend(Duration::from_millis(TAKEOVER_DEADLINE_MS));
    let taking = present(talk, &offer, luggage).map_err(broken)?;
    let now_ns = offer.now_ns();
    say(talk, &Yours { now_ns }).map_err(broken)?;
    let stood_ns = offer.stood_ns();
    if !comes_to_serve(talk) {
        return Err("the new process died before it served".to_owned());
    }
    offer.conclude();
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

/// Whether the new process, whose the relay is, serves. However long it is silent
/// it may still begin, so only its death is a no: the stream ends.
fn comes_to_serve(talk: &mut Bounded) -> bool {
    talk.unbind();
    loop {
        match talk.read(&mut [0]) {
            Ok(len) => return len > 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It was reset: with nothing to wait for there is no other error.
            Err(_) => return false,
        }
    }
}

/// Says that this process goes on. Whoever could say `Taking` before has read
/// all that was sent, so that this has room and it finds it; whoever could not
/// takes nothing. So nobody sees an end without a word while this one lives.
fn refuse(mut talk: Bounded, why: &str) {
    talk.deafen();
    talk.extend(Duration::from_millis(TAKEOVER_REFUSAL_MS));
    let _ = talk.write_all(Answer::Failed(why.to_owned()).line().as_bytes());
}

fn broken(error: io::Error) -> String {
    format!("the new process does not answer: {error}")
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
