//! A path to the relay for one member, over which only so much comes back a
//! second; what is more is lost.

use loadgen::clock::Clock;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// What may come at once after a pause.
const BURST_BYTES: f64 = 5_000.0;
const DATAGRAM_BYTES: usize = 2048;

pub(crate) struct Narrow {
    address: SocketAddr,
    lost: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Narrow {
    pub(crate) fn start(relay: SocketAddr, bytes_per_s: f64) -> Self {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            Arc::new(socket)
        };
        let (inside, outside) = (socket(), socket());
        outside.connect(relay).unwrap();
        let address = inside.local_addr().unwrap();
        let (lost, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let member = Arc::new(OnceLock::new());
        let up = {
            let (inside, outside, stop, member) = (inside.clone(), outside.clone(), stop.clone(), member.clone());
            move || {
                let mut buffer = [0; DATAGRAM_BYTES];
                while !stop.load(Relaxed) {
                    if let Ok((len, from)) = inside.recv_from(&mut buffer) {
                        let _ = (member.set(from), outside.send(&buffer[..len]));
                    }
                }
            }
        };
        let down = {
            let (lost, stop) = (lost.clone(), stop.clone());
            move || {
                let (clock, mut buffer) = (Clock::start(), [0; DATAGRAM_BYTES]);
                let (mut left, mut filled_at) = (BURST_BYTES, 0);
                while !stop.load(Relaxed) {
                    let Ok(len) = outside.recv(&mut buffer) else { continue };
                    let now = clock.now();
                    left = BURST_BYTES.min(left + (now - filled_at) as f64 / 1e9 * bytes_per_s);
                    filled_at = now;
                    match member.get() {
                        Some(member) if left >= len as f64 => {
                            left -= len as f64;
                            let _ = inside.send_to(&buffer[..len], member);
                        }
                        _ => drop(lost.fetch_add(1, Relaxed)),
                    }
                }
            }
        };
        let threads = vec![std::thread::spawn(up), std::thread::spawn(down)];
        Self { address, lost, stop, threads }
    }

    /// Where the member finds the relay.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Datagrams that did not get through.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
