//! Owns the questions to the kernel about the way out (rtnetlink(7)): which
//! interface a destination is reached by, and which queues that one has. Asks
//! only: never changes a route or a queue.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::time::Duration;

/// `struct nlmsghdr`: length, kind, flags, sequence, sender (netlink(7)).
const HEADER: usize = 16;
/// `struct rtmsg` (rtnetlink(7)).
const RTMSG: usize = 12;
/// `struct tcmsg` (linux/rtnetlink.h), and where its fields are.
const TCMSG: usize = 20;
const TC_INTERFACE: usize = 4;
const TC_PARENT: usize = 12;
/// The parent of an interface's first queue (`TC_H_ROOT`, linux/pkt_sched.h).
const TC_ROOT: u32 = u32::MAX;
/// `struct rtattr`: length and kind.
const ATTRIBUTE: usize = 4;
/// More than the kernel puts into one answer.
const ANSWER_MAX: usize = 64 * 1024;
/// The kernel answers at once; this only keeps a fault from hanging.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// A queueing discipline of an interface (tc(8)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// Its name: `fq_codel`, `mq`, `noqueue`.
    pub kind: String,
    /// Whether it is the interface's first, not one below another.
    pub is_root: bool,
}

/// The number of the interface that datagrams to `ip` leave by.
///
/// # Errors
/// There is no route (the kernel's reason), or it does not answer.
pub fn interface_to(ip: IpAddr) -> io::Result<u32> {
    let (family, octets) = match ip {
        IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
    };
    let mut body = vec![0; RTMSG];
    body[0] = low_byte(family);
    body[1] = low_byte(i32::try_from(octets.len() * 8).unwrap_or(0));
    push_attribute(&mut body, libc::RTA_DST, &octets);
    let answer = ask(libc::RTM_GETROUTE, 0, &body)?;
    let interface = answer.iter().find_map(|message| {
        let attributes = Attributes(message.body.get(RTMSG..)?);
        let (_, data) = attributes.into_iter().find(|(kind, _)| *kind == libc::RTA_OIF)?;
        field(data, 0).map(u32::from_ne_bytes)
    });
    interface.ok_or_else(|| io::Error::other("the kernel names no interface"))
}

/// The queueing disciplines of interface number `interface`.
///
/// # Errors
/// The kernel does not answer.
pub fn qdiscs(interface: u32) -> io::Result<Vec<Qdisc>> {
    let answer = ask(libc::RTM_GETQDISC, libc::NLM_F_DUMP, &[0; TCMSG])?;
    Ok(answer.iter().filter_map(|message| qdisc(&message.body, interface)).collect())
}

fn qdisc(body: &[u8], interface: u32) -> Option<Qdisc> {
    if u32::from_ne_bytes(field(body, TC_INTERFACE)?) != interface {
        return None;
    }
    let is_root = u32::from_ne_bytes(field(body, TC_PARENT)?) == TC_ROOT;
    let (_, name) = Attributes(body.get(TCMSG..)?).into_iter().find(|(kind, _)| *kind == libc::TCA_KIND)?;
    let kind = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    Some(Qdisc { kind, is_root })
}

/// One message of an answer.
struct Message {
    kind: u16,
    body: Vec<u8>,
}

/// Asks, and collects what is answered.
fn ask(kind: u16, flags: i32, body: &[u8]) -> io::Result<Vec<Message>> {
    let netlink = Protocol::from(libc::NETLINK_ROUTE);
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(netlink))?;
    socket.set_read_timeout(Some(ANSWER_WAIT))?;
    socket.write_all(&request(kind, flags, body))?;
    let mut answer = Vec::new();
    let mut bytes = vec![0; ANSWER_MAX];
    loop {
        let len = socket.read(&mut bytes)?;
        answer.extend(messages(&bytes[..len]));
        let Some(last) = answer.last() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        match (i32::from(last.kind), field(&last.body, 0).map_or(0, i32::from_ne_bytes)) {
            (libc::NLMSG_ERROR, errno) if errno != 0 => return Err(io::Error::from_raw_os_error(-errno)),
            (libc::NLMSG_DONE | libc::NLMSG_ERROR, _) => return Ok(answer),
            _ if flags & libc::NLM_F_DUMP == 0 => return Ok(answer),
            _ => {}
        }
    }
}

fn request(kind: u16, flags: i32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(HEADER + body.len()).expect("invariant: a request is short");
    let flags = u16::try_from(libc::NLM_F_REQUEST | flags).expect("invariant: flags have 16 bits");
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

fn push_attribute(body: &mut Vec<u8>, kind: u16, data: &[u8]) {
    let len = u16::try_from(ATTRIBUTE + data.len()).expect("invariant: an address is short");
    body.extend(len.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(data);
    body.resize(body.len().next_multiple_of(ATTRIBUTE), 0);
}

/// The messages in what was read, up to the first that is malformed.
fn messages(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some((message, rest)) = split_message(bytes) {
        messages.push(message);
        bytes = rest;
    }
    messages
}

fn split_message(bytes: &[u8]) -> Option<(Message, &[u8])> {
    let len = usize::try_from(u32::from_ne_bytes(field(bytes, 0)?)).ok()?;
    let kind = u16::from_ne_bytes(field(bytes, 4)?);
    let body = bytes.get(HEADER..len)?.to_vec();
    Some((Message { kind, body }, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Reads attributes one after the other, up to the first that is malformed.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16::from_ne_bytes(field(self.0, 0)?));
        let kind = u16::from_ne_bytes(field(self.0, 2)?);
        let data = self.0.get(ATTRIBUTE..len)?;
        self.0 = self.0.get(len.next_multiple_of(ATTRIBUTE)..).unwrap_or_default();
        Some((kind, data))
    }
}

/// `N` bytes from `start` on.
fn field<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..)?.first_chunk().copied()
}

fn low_byte(number: i32) -> u8 {
    u8::try_from(number).expect("invariant: families and prefix lengths are small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn loopback_is_reached_by_itself() {
        let lo = std::fs::read_to_string("/sys/class/net/lo/ifindex").unwrap();
        let lo: u32 = lo.trim().parse().unwrap();
        assert_eq!(interface_to("127.0.0.1".parse().unwrap()).unwrap(), lo);
        assert!(qdiscs(lo).unwrap().iter().all(|qdisc| !qdisc.kind.is_empty()));
    }

    #[test]
    fn a_queue_is_read_from_its_message() {
        let mut body = vec![0; TCMSG];
        body[TC_INTERFACE] = 3;
        body[TC_PARENT..TC_PARENT + 4].copy_from_slice(&TC_ROOT.to_ne_bytes());
        push_attribute(&mut body, libc::TCA_KIND, b"fq_codel\0");
        assert_eq!(qdisc(&body, 3), Some(Qdisc { kind: "fq_codel".into(), is_root: true }));
        assert_eq!(qdisc(&body, 4), None);
        let sent = request(libc::RTM_NEWQDISC, 0, &body);
        let read = messages(&[sent.clone(), sent].concat());
        assert!(read.len() == 2 && read.iter().all(|message| message.body == body));
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_ends(bytes in proptest::collection::vec(any::<u8>(), 0..80), len: u8) {
            let mut bytes = bytes;
            for start in 0..bytes.len().min(2) {
                bytes[start] = len * u8::try_from(1 - start).unwrap();
            }
            prop_assert!(Attributes(&bytes).count() <= 20);
            prop_assert!(messages(&bytes).len() <= 5);
            _ = qdisc(&bytes, 0);
        }
    }
}
