//! Memory that datagrams are received into, and how a train that the kernel
//! left whole (UDP_GRO, udp(7)) becomes messages again. Makes no system call
//! but those that ask for a train.

use super::Taken;
use nix::cmsg_space;
use nix::libc::in_pktinfo;
use nix::sys::socket::{CmsgIterator, ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::RawFd;

/// Longer than any datagram that is relayed, so that a long one shows as damaged.
const DATAGRAM_BYTES: usize = 2048;
/// A train is an IP packet to the kernel: 64 KiB and no more.
const TRAIN_BYTES: usize = 1 << 16;

/// Said by every transport that receives trains, in every report of it.
pub(super) const LABEL: &str = "GRO: trains received whole";

/// Asks for trains.
pub(super) fn receive_trains(socket: &UdpSocket) -> io::Result<()> {
    setsockopt(socket, sockopt::UdpGroSegment, &true)
        .map_err(|error| io::Error::other(format!("this kernel has no UDP_GRO ({error}); leave --gro out")))
}

/// Slots for `N` datagrams.
pub(super) struct Slots<const N: usize>(Vec<u8>);

impl<const N: usize> Slots<N> {
    pub(super) fn new() -> Self {
        Self(vec![0; N * DATAGRAM_BYTES])
    }

    /// For recvmmsg.
    pub(super) fn slices(&mut self) -> [[IoSliceMut<'_>; 1]; N] {
        let mut parts = self.0.chunks_exact_mut(DATAGRAM_BYTES);
        std::array::from_fn(|_| [IoSliceMut::new(parts.next().unwrap_or_default())])
    }
}

/// A slot for one train, or whatever comes in place of one.
///
/// Trains are read one by one: recvmmsg(2) writes into its headers how much of
/// the place for control messages was used, and `nix` takes that for the place
/// that is left. After a datagram that is no train none was left for a train's
/// length, and the train was taken for one long message.
pub(super) struct TrainSlot {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl TrainSlot {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; TRAIN_BYTES], control: cmsg_space!(in_pktinfo, i32) }
    }

    /// What the socket has, where it was sent to if that is told, and the
    /// length of its messages if it is a train.
    pub(super) fn receive(&mut self, fd: RawFd) -> nix::Result<(&[u8], Option<u32>, Option<usize>)> {
        let mut slices = [IoSliceMut::new(&mut self.bytes)];
        let received = recvmsg::<()>(fd, &mut slices, Some(&mut self.control), MsgFlags::MSG_DONTWAIT)?;
        let (len, (address, segment)) = (received.bytes, destination(received.cmsgs()?));
        Ok((&self.bytes[..len], address, segment))
    }
}

/// The address that a datagram was sent to, and the length of its messages if it is a train.
pub(super) fn destination(control: CmsgIterator<'_>) -> (Option<u32>, Option<usize>) {
    let (mut address, mut segment) = (None, None);
    for message in control {
        match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => address = Some(u32::from_be(info.ipi_addr.s_addr)),
            other => segment = segment.or(segment_len(&other)),
        }
    }
    (address, segment)
}

/// The length of a train's messages, if this control message tells it.
fn segment_len(message: &ControlMessageOwned) -> Option<usize> {
    match message {
        ControlMessageOwned::UdpGroSegments(bytes) => usize::try_from(*bytes).ok().filter(|len| *len > 0),
        _ => None,
    }
}

/// Hands over each message of a datagram; the last one of a train may be shorter.
pub(super) fn take_each(bytes: &[u8], segment: Option<usize>, mut take: impl FnMut(&[u8])) -> Taken {
    let Some(len) = segment.filter(|len| *len < bytes.len()) else {
        take(bytes);
        return Taken { messages: 1, datagrams: 1 };
    };
    let messages = bytes.chunks(len).map(&mut take).count();
    Taken { messages: messages as u64, datagrams: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8], segment: Option<usize>) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        let taken = take_each(bytes, segment, |message| messages.push(message.to_vec()));
        assert_eq!(taken, Taken { messages: messages.len() as u64, datagrams: 1 });
        messages
    }

    #[test]
    fn a_train_is_its_messages_and_the_last_may_be_shorter() {
        assert_eq!(split(b"aabbc", Some(2)), [&b"aa"[..], b"bb", b"c"]);
        assert_eq!(split(b"aabb", Some(2)), [b"aa", b"bb"]);
        for single in [None, Some(4), Some(9)] {
            assert_eq!(split(b"aabb", single), [b"aabb"]);
        }
        assert_eq!(split(b"", None), [b""], "an empty datagram is one, too");
    }
}
