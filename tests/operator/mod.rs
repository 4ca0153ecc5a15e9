//! An operator for tests: a relay with a control socket of its own, what
//! `outcry ctl` says to it, and members of it.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests, too")]

use crate::process::{HANG, Running, Serve, host, outcry};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// A directory that goes with its test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        // Short: the path of a socket has 107 bytes.
        let dir = std::env::temp_dir().join(format!("oc-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A relay and its control socket.
pub struct Steered {
    pub relay: Serve,
    pub socket: String,
}

/// What `outcry ctl` answered.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Its rows, or its only object.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{self:?}"))).collect()
    }
}

/// `outcry ctl` at that socket.
pub fn ctl(socket: &str, args: &[&str]) -> Said {
    let output = outcry(&[&["ctl", "--control", socket], args].concat()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Steered {
    #[track_caller]
    pub fn start(scratch: &Scratch, args: &[&str]) -> Self {
        Self::at(&format!("{}:0", host(0)), scratch, args)
    }

    #[track_caller]
    pub fn at(bind: &str, scratch: &Scratch, args: &[&str]) -> Self {
        let socket = scratch.path("ctl.sock");
        let all = [&["serve", "--bind", bind, "--lang", "en", "--control", &socket], args].concat();
        Self { relay: Serve::from(Running::outcry(&all)), socket }
    }

    #[track_caller]
    pub fn ctl(&self, args: &[&str]) -> Said {
        ctl(&self.socket, args)
    }

    /// It is done; what is said about it.
    #[track_caller]
    pub fn does(&self, args: &[&str]) -> String {
        let said = self.ctl(args);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{args:?}: {said:?}");
        said.out
    }

    /// The rows or the object that `--json` gives.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let said = self.ctl(&[&["--json"], args].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{args:?}: {said:?}");
        said.json()
    }

    /// A member, which is known to the operator.
    #[track_caller]
    pub fn joins(&self, name: &str) -> Member {
        let member = Member::new(self.relay.addr);
        member.says(name);
        crate::process::until("the member", || {
            self.json(&["peers"]).iter().any(|row| row["address"] == member.at().to_string()).then_some(())
        });
        member
    }
}

/// A plain member.
pub struct Member(pub UdpSocket, pub SocketAddr);

impl Member {
    pub fn new(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind((relay.ip(), 0)).unwrap();
        socket.set_read_timeout(Some(HANG)).unwrap();
        Self(socket, relay)
    }

    pub fn at(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub fn says(&self, text: &str) {
        self.0.send_to(text.as_bytes(), self.1).unwrap();
    }

    #[track_caller]
    pub fn hears(&self) -> String {
        let mut bytes = [0; 2048];
        let len = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    /// Hears until it hears this.
    #[track_caller]
    pub fn hears_at_last(&self, text: &str) {
        while self.hears() != text {}
    }
}

/// Whether a file is there.
pub fn is_there(path: &str) -> bool {
    Path::new(path).exists()
}
