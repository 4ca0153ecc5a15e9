//! The UDP chat room as a beginner writes it in Rust: one loop of `recv_from`
//! and `send_to`, nothing but std. What `scripts/compare` measures outcry
//! against. Usage: naive_relay IP:PORT [--quiet]   (no joined/left notices)

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments.first().map_or("127.0.0.1:9999", String::as_str);
    let quiet = arguments.iter().any(|argument| argument == "--quiet");
    let socket = UdpSocket::bind(address)?;
    println!("listening on {}", socket.local_addr()?);
    io::stdout().flush()?;
    let mut room = Room { socket, members: HashMap::new(), quiet };
    let mut buffer = [0; 2048];
    loop {
        // An error is the answer to a datagram that nobody took.
        if let Ok((len, sender)) = room.socket.recv_from(&mut buffer) {
            room.handle(sender, &buffer[..len]);
        }
    }
}

struct Room {
    socket: UdpSocket,
    members: HashMap<SocketAddr, String>,
    quiet: bool,
}

impl Room {
    fn handle(&mut self, sender: SocketAddr, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let is_new = !self.members.contains_key(&sender);
        if is_new {
            let name = text.split(" : ").next().unwrap_or_default().to_string();
            let notice = format!("{name} 进入聊天室...");
            self.members.insert(sender, name);
            self.notify(sender, &notice);
        } else if text.rsplit(" : ").next().is_some_and(|said| said.trim().eq_ignore_ascii_case("exit")) {
            let name = self.members.remove(&sender).unwrap_or_default();
            self.notify(sender, &format!("{name} 离开了聊天室..."));
        } else {
            self.broadcast(sender, bytes);
        }
    }

    fn notify(&self, sender: SocketAddr, notice: &str) {
        if !self.quiet {
            self.broadcast(sender, notice.as_bytes());
        }
    }

    fn broadcast(&self, sender: SocketAddr, bytes: &[u8]) {
        for member in self.members.keys().filter(|member| **member != sender) {
            // One member that is gone must not end the room.
            let _ = self.socket.send_to(bytes, member);
        }
    }
}
