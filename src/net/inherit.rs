//! Owns the socket that somebody else opened for us: a service manager
//! (sd_listen_fds(3)), or the relay before this one. Never binds one.

use super::sys::duplicate;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

/// Where handed-over descriptors begin (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// Why what was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// More than one descriptor.
    #[error("{0} sockets were handed over, and the relay has one: keep one ListenDatagram= line in the socket unit")]
    Several(usize),
    /// Something else than a UDP socket.
    #[error("what was handed over is no UDP socket: the socket unit needs a ListenDatagram= line with IP and port")]
    NotUdp,
    /// There is no descriptor 3.
    #[error("LISTEN_FDS promises a socket that is not there: {0}")]
    Missing(io::Error),
}

/// The socket that was handed over to this process, if there is one: a
/// duplicate of descriptor 3, whose queue of datagrams it shares.
///
/// # Errors
/// Something was handed over that the relay cannot use.
pub fn inherited_socket() -> Result<Option<UdpSocket>, InheritError> {
    let variable = |name| std::env::var(name).ok();
    match handed_over(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id()) {
        0 => Ok(None),
        1 => udp(duplicate(FIRST).map_err(InheritError::Missing)?.into()).map(Some),
        several => Err(InheritError::Several(several)),
    }
}

/// Descriptors that are meant for process `own`.
fn handed_over(pid: Option<String>, fds: Option<String>, own: u32) -> usize {
    let is_ours = pid.and_then(|pid| pid.parse().ok()) == Some(own);
    fds.filter(|_| is_ours).and_then(|fds| fds.parse().ok()).unwrap_or(0)
}

/// The UDP socket that a descriptor is.
///
/// # Errors
/// It is something else.
pub fn udp_socket(descriptor: OwnedFd) -> Result<UdpSocket, InheritError> {
    udp(descriptor.into())
}

fn udp(socket: Socket) -> Result<UdpSocket, InheritError> {
    let speaks_ip = socket.domain().is_ok_and(|domain| domain == Domain::IPV4 || domain == Domain::IPV6);
    let is_udp = speaks_ip && socket.r#type().is_ok_and(|kind| kind == Type::DGRAM);
    if is_udp { Ok(socket.into()) } else { Err(InheritError::NotUdp) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::{AsRawFd, OwnedFd};

    #[test]
    fn only_what_is_meant_for_this_process_counts() {
        let count = |pid: &str, fds: &str| handed_over(Some(pid.into()), Some(fds.into()), 7);
        assert_eq!((count("7", "1"), count("7", "2"), count("8", "1")), (1, 2, 0));
        assert_eq!((count("7", "-1"), count("", "1"), count("7", "")), (0, 0, 0));
        assert_eq!(handed_over(None, Some("1".into()), 7), 0);
    }

    #[test]
    fn only_udp_is_taken() {
        let tcp: OwnedFd = TcpListener::bind("127.0.0.1:0").unwrap().into();
        let refused = udp(duplicate(tcp.as_raw_fd()).unwrap().into()).unwrap_err();
        assert!(refused.to_string().contains("ListenDatagram="), "{refused}");
        assert!(udp(std::os::unix::net::UnixDatagram::unbound().map(OwnedFd::from).unwrap().into()).is_err());
        assert!(udp(UdpSocket::bind("127.0.0.1:0").unwrap().into()).is_ok());
    }

    #[test]
    fn a_duplicate_shares_the_queue() {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        one.send_to(b"hi", one.local_addr().unwrap()).unwrap();
        let other = udp(duplicate(one.as_raw_fd()).unwrap().into()).unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), 2);
        assert!(duplicate(-1).is_err());
    }
}
