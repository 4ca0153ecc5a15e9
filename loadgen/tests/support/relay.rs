//! A relay of a test's own, in a thread of its process.

use outcry::config::{Config, Limits};
use outcry::server::{Report, Server};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// It ends when dropped.
pub(crate) struct Served {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Report>>,
}

impl Served {
    pub(crate) fn start() -> Self {
        let bind = (Ipv4Addr::LOCALHOST, 0).into();
        Self::with(Limits::for_bind(bind))
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let bind = (Ipv4Addr::LOCALHOST, 0).into();
        let mut server = Server::bind(&Config::for_limits(bind, limits)).unwrap();
        let (address, stop) = (server.local_addr(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                server.turn(Some(Duration::from_millis(10))).unwrap();
            }
            server.report()
        });
        Self { address, stop, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it, and tells what it counted.
    pub(crate) fn end(mut self) -> Report {
        self.stop.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
