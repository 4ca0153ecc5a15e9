//! A relay in this process with its HTTP face, and the little of HTTP that
//! asks it. Every wait has an end, which only keeps a failure from hanging.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use crate::process::HANG;
use crate::room::{Relay, config};
use outcry::admin::{Face, Serving};
use outcry::config::AdminConfig;
use outcry::server::Server;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.next().unwrap_or_default()
    }
}

/// Sends `request` and `headers`, each a line, as they are.
pub(crate) fn send(addr: SocketAddr, request: &str, headers: &[&str]) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let head = [&[request], headers, &["Connection: close", "", ""]].concat().join("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) fn fetch(addr: SocketAddr, path: &str) -> Answer {
    send(addr, &format!("GET {path} HTTP/1.1"), &[&format!("Host: {addr}")])
}

/// A relay whose face answers for as long as it lives.
pub(crate) struct Watched {
    pub(crate) relay: Relay,
    pub(crate) addr: SocketAddr,
    pub(crate) serving: Serving,
}

impl Watched {
    pub(crate) fn start() -> Self {
        let server = Server::bind(&config(|_| {})).unwrap();
        let (addr, serving) = face(&server);
        Self { relay: Relay::run(server), addr, serving }
    }

    pub(crate) fn fetch(&self, path: &str) -> Answer {
        fetch(self.addr, path)
    }
}

/// A face for `server`, and where it is.
pub(crate) fn face(server: &Server) -> (SocketAddr, Serving) {
    let face = Face::bind(&AdminConfig::new("127.0.0.1:0".parse().unwrap(), None).unwrap()).unwrap();
    (face.local_addr(), face.serve(server.handle(), server.directory()).unwrap())
}

/// The value of a sample on the metrics page, with its labels.
#[track_caller]
pub(crate) fn sample(page: &str, name: &str) -> f64 {
    let mut lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.next().unwrap_or_else(|| panic!("{name} is not in\n{page}")).parse().unwrap()
}
