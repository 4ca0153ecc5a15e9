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
        receiver.set_nonblocking(true).unwrap();
        let kept = std::iter::from_fn(|| receiver.recv(&mut [0; 1000]).ok()).count() as u64;
        assert_eq!(udp_drops(&ports) - before, 2000 - kept);
    }
}
