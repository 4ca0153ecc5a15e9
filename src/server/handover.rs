//! Owns what one process hands to the next: the relay's state and the server's
//! books as bytes, with a version and a checksum, and the socket. Never says a
//! word to the other process: the control thread does.
//!
//! The loop stands still from the moment at which the state is taken until it
//! is decided who goes on. What members send meanwhile waits in the socket.

use super::clock::Clock;
use super::{Server, ServerError, socket_options};
use crate::batch::{SEND_DROPS, SendTally};
use crate::config::Config;
use crate::metrics::{Counted, Histograms};
use crate::net::Socket;
use crate::relay::{AddrRow, Relay, Snapshot, Unfit};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

/// What programs that hand over to one another agree about. It changes with
/// every change of an image or of the relay's snapshot.
pub const IMAGE_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"outcryTO";
/// Magic, version u32, length u64, BLAKE3 of the rest.
const HEAD_BYTES: usize = 8 + 4 + 8 + 32;

/// Why an image is not taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It was cut, or changed, or is something else.
    #[error("it is no whole image of a relay")]
    NotWhole,
    /// Another program's.
    #[error("it is of version {0}, and this program reads {IMAGE_VERSION}")]
    OtherVersion(u32),
    /// It was whole, and nothing can be done with it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// Everything but the socket.
#[derive(Deserialize, Serialize)]
struct Image<'a> {
    now_ns: u64,
    #[serde(borrow)]
    relay: Snapshot<'a>,
    copies: CopiesRow,
    kernel_drops: u64,
    notices_lost: u64,
    /// Memory without members, by which theirs is reckoned.
    base_bytes: u64,
    histograms: [Counted; 3],
    #[serde(borrow)]
    members: Vec<MemberRow<'a>>,
}

#[derive(Deserialize, Serialize)]
struct CopiesRow {
    offered: u64,
    offered_cast: u64,
    offered_single: u64,
    sent: u64,
    dropped: [u64; SEND_DROPS.len()],
    trains_refused: u64,
}

/// Who is here, for other threads.
#[derive(Deserialize, Serialize)]
struct MemberRow<'a> {
    remote: AddrRow,
    name: &'a str,
    native: bool,
    muted: bool,
    since_unix_s: u64,
    lines: u64,
    bytes: u64,
}

impl<'a> Image<'a> {
    fn to_bytes(&self) -> Vec<u8> {
        let head = vec![0; HEAD_BYTES];
        let mut bytes = postcard::to_extend(self, head).expect("invariant: an image is plain data, and memory grows");
        let body = &bytes[HEAD_BYTES..];
        let (len, digest) = (body.len() as u64, blake3::hash(body));
        let parts = [&MAGIC[..], &IMAGE_VERSION.to_le_bytes(), &len.to_le_bytes(), digest.as_bytes()];
        bytes[..HEAD_BYTES].copy_from_slice(&parts.concat());
        bytes
    }

    fn of(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES).ok_or(ImageError::NotWhole)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let (version, rest) = rest.split_first_chunk().ok_or(ImageError::NotWhole)?;
        let (len, digest) = rest.split_first_chunk().ok_or(ImageError::NotWhole)?;
        match (magic == MAGIC, u32::from_le_bytes(*version)) {
            (false, _) => return Err(ImageError::NotWhole),
            (true, IMAGE_VERSION) => {}
            (true, other) => return Err(ImageError::OtherVersion(other)),
        }
        let is_whole = u64::from_le_bytes(*len) == body.len() as u64 && blake3::hash(body).as_bytes() == digest;
        match postcard::take_from_bytes(body) {
            Ok((image, [])) if is_whole => Ok(image),
            _ => Err(ImageError::NotWhole),
        }
    }
}

/// A relay that stands still to be handed over. If this is dropped it goes on
/// as if nothing had happened.
pub struct Offer {
    image: Vec<u8>,
    socket: OwnedFd,
    clock: Clock,
    since_ns: u64,
    verdict: SyncSender<()>,
}

impl Offer {
    /// What the next process needs to know.
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// The socket, shared with the loop that does not touch it.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What the relay's clock says by now, in ns.
    pub fn now_ns(&self) -> u64 {
        self.clock.now().nanos()
    }

    /// For how long the relay has stood still, in ns.
    pub fn stood_ns(&self) -> u64 {
        self.now_ns().saturating_sub(self.since_ns)
    }

    /// The next process has it all and goes on: this loop ends without a word to anyone.
    pub fn conclude(self) {
        // If the loop has ended there is nobody to tell.
        let _ = self.verdict.try_send(());
    }
}

impl Server {
    /// A server that goes on where another one stands still. It must not turn
    /// before that one has given up; then [`set_clock`](Self::set_clock).
    ///
    /// # Errors
    /// The image is not whole, of another version, or has no room within the
    /// configuration; the kernel lacks a feature.
    pub fn resume(config: &Config, socket: UdpSocket, image: &[u8]) -> Result<Self, ServerError> {
        let image = Image::of(image)?;
        let socket = Socket::adopt(socket, &socket_options(config))?;
        let relay = Relay::resume(&config.limits, socket.local_addr(), &image.relay).map_err(ImageError::from)?;
        let mut server = Self::with_relay(config, socket, relay, Clock::resume(image.now_ns))?;
        let CopiesRow { offered, offered_cast, offered_single, sent, dropped, trains_refused } = image.copies;
        server.tally = SendTally { offered, offered_cast, offered_single, sent, dropped, trains_refused };
        server.histograms = Histograms::resume(&image.histograms).ok_or(ImageError::NotWhole)?;
        (server.notices_lost, server.base_bytes) = (image.notices_lost, image.base_bytes);
        server.has_stood_still = true;
        server.socket.set_kernel_drops(image.kernel_drops);
        for member in image.members {
            let remote = member.remote.into();
            server.directory.insert(remote, Arc::from(member.name), member.native, member.since_unix_s);
            server.directory.count(remote, member.lines, member.bytes);
            if member.muted {
                server.directory.mute(remote, true);
            }
        }
        let agrees = server.directory.len() == server.relay.members() && server.tally.balances();
        if agrees { Ok(server) } else { Err(ImageError::NotWhole.into()) }
    }

    /// The other one's clock, at which this one goes on. It never goes back.
    pub fn set_clock(&mut self, now_ns: u64) {
        self.clock.advance_to(now_ns);
    }

    /// Stands still until it is decided who goes on.
    pub(super) fn hand_over(&mut self, asked: &SyncSender<Offer>) {
        match self.offer() {
            Ok((offer, verdict)) => {
                // Whoever asked may have gone: then the offer has, too.
                let _ = asked.try_send(offer);
                self.is_handed_over = verdict.recv().is_ok();
            }
            Err(error) => tracing::warn!(%error, "the socket cannot be shared: the relay is not handed over"),
        }
        self.stopping |= self.is_handed_over;
        self.has_stood_still = true;
        if self.is_handed_over {
            self.requests.set_unready();
        } else if let Err(error) = self.socket.reclaim() {
            tracing::error!(%error, "the socket is not as it was before it was shared");
        }
    }

    fn offer(&self) -> io::Result<(Offer, Receiver<()>)> {
        let (socket, since_ns) = (self.socket.share()?, self.clock.now().nanos());
        let (verdict, decided) = mpsc::sync_channel(1);
        Ok((Offer { image: self.image(since_ns), socket, clock: self.clock.clone(), since_ns, verdict }, decided))
    }

    fn image(&self, now_ns: u64) -> Vec<u8> {
        let members = self.directory.members();
        let members = members.iter().map(|member| MemberRow {
            remote: member.remote.into(),
            name: &member.name,
            native: member.native,
            muted: member.muted,
            since_unix_s: member.since_unix_s,
            lines: member.lines,
            bytes: member.bytes,
        });
        let SendTally { offered, offered_cast, offered_single, sent, dropped, trains_refused } = self.tally;
        let image = Image {
            now_ns,
            relay: self.relay.snapshot(),
            copies: CopiesRow { offered, offered_cast, offered_single, sent, dropped, trains_refused },
            kernel_drops: self.socket.kernel_drops(),
            notices_lost: self.notices_lost,
            base_bytes: self.base_bytes,
            histograms: self.histograms.counted(),
            members: members.collect(),
        };
        image.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Report;
    use std::time::Duration;

    /// A server with two members that have talked.
    fn talked(config: &Config) -> Server {
        let mut server = Server::bind(config).unwrap();
        let [alice, bob] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let lines = [(&alice, "alice"), (&bob, "bob"), (&alice, "alice : hi"), (&bob, "bob : hi yourself")];
        for (of, line) in lines {
            of.send_to(line.as_bytes(), server.local_addr()).unwrap();
        }
        while server.report().counters.relayed < 2 || !server.is_idle() {
            server.turn(Some(Duration::from_millis(20))).unwrap();
        }
        server
    }

    #[test]
    fn the_books_go_on() {
        let config = Config::for_bind("127.0.0.1:0".parse().unwrap());
        let server = talked(&config);
        let image = server.image(server.clock.now().nanos());
        let socket = server.socket.share().unwrap().into();
        let next = Server::resume(&config, socket, &image).unwrap();
        let books = |server: &Server| Report { uptime_ns: 0, resident_bytes: 0, ..server.report() };
        assert_eq!(books(&next), books(&server));
        assert!(next.has_stood_still, "its timers wait for its datagrams");
        assert!(next.report().sojourn_ns.count > 0 && next.clock.now() >= server.turn_began);
        assert_eq!(next.directory.members(), server.directory.members());
    }

    /// Programs that differ here must not hand over to one another: what was written
    /// by this version is read and would be written just so.
    #[test]
    fn another_layout_is_another_version() {
        assert_eq!(IMAGE_VERSION, 1, "tests/vectors/image-1.bin is of another version");
        let bytes = include_bytes!("../../tests/vectors/image-1.bin");
        let config = Config::for_bind("127.0.0.1:0".parse().unwrap());
        let socket = || UdpSocket::bind(config.bind).unwrap();
        let next = Image::of(bytes).ok().filter(|image| image.to_bytes() == bytes);
        let next = next.and_then(|_| Server::resume(&config, socket(), bytes).ok());
        let Some(report) = next.map(|next| next.report()) else {
            let now = std::env::temp_dir().join(format!("image-{IMAGE_VERSION}.bin"));
            std::fs::write(&now, talked(&config).image(1_000_000_000)).unwrap();
            panic!("the layout has changed: raise IMAGE_VERSION, and store {}", now.display());
        };
        let counted = (report.counters.relayed, report.copies.sent, report.sojourn_ns.count, report.members);
        assert_eq!(counted, (2, 3, 4, 2));
    }

    #[test]
    fn what_is_not_whole_or_of_another_version_is_told_apart() {
        let config = Config::for_bind("127.0.0.1:0".parse().unwrap());
        let image = talked(&config).image(1);
        assert!(Image::of(&image).is_ok());
        for end in (0..image.len()).step_by(7) {
            assert_eq!(Image::of(&image[..end]).err(), Some(ImageError::NotWhole), "{end} bytes of it");
        }
        for at in (0..image.len()).step_by(3) {
            let mut changed = image.clone();
            changed[at] ^= 0x10;
            let expected = match at {
                8..12 => ImageError::OtherVersion(u32::from_le_bytes(*changed[8..].first_chunk().unwrap())),
                _ => ImageError::NotWhole,
            };
            assert_eq!(Image::of(&changed).err(), Some(expected), "byte {at}");
        }
    }
}
