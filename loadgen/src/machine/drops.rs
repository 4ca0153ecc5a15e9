//! Datagrams that the kernel dropped because a socket's buffer was full: the
//! last column of /proc/net/udp, the same counter as SO_MEMINFO's.

use std::collections::HashSet;
use std::fs;

/// Drops so far, summed over the sockets bound to `ports`.
pub fn udp_drops(ports: &HashSet<u16>) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    let texts = tables.iter().filter_map(|path| fs::read_to_string(path).ok());
    texts.map(|text| count(&text, ports)).sum()
}

/// Bytes that wait to be read at the sockets bound to `port`, kernel overhead included.
pub fn udp_waiting(port: u16) -> u64 {
    let tables = ["/proc/net/udp", "/proc/net/udp6"];
    let texts: Vec<String> = tables.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    texts.iter().flat_map(|text| text.lines().skip(1)).filter_map(|line| waiting(line, port)).sum()
}

/// The receive queue of one row, if it is bound to `port`.
fn waiting(line: &str, port: u16) -> Option<u64> {
    let (bound, _) = row(line)?;
    let (_, queue) = line.split_ascii_whitespace().nth(4)?.split_once(':')?;
    if bound == port { u64::from_str_radix(queue, 16).ok() } else { None }
}

fn count(table: &str, ports: &HashSet<u16>) -> u64 {
    let rows = table.lines().skip(1).filter_map(row);
    rows.filter(|(port, _)| ports.contains(port)).map(|(_, drops)| drops).sum()
}

/// Local port and drops of one row.
fn row(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, fields.last()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn counts_what_a_full_socket_lost() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let ports = HashSet::from([address.port()]);
        let before = udp_drops(&ports);
        for _ in 0..2000 {
            sender.send_to(&[0; 1000], address).unwrap();
        }
        assert!(udp_waiting(address.port()) > 100_000);
        receiver.set_nonblocking(true).unwrap();
        let kept = std::iter::from_fn(|| receiver.recv(&mut [0; 1000]).ok()).count() as u64;
        assert_eq!(udp_drops(&ports) - before, 2000 - kept);
    }
}
