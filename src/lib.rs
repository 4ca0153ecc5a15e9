//! outcry: a UDP chat relay at the kernel's floor. What one member sends is
//! copied to every other member, the losses are counted and the time is known.
//!
//! This page is the way in: one picture, one rule, a tour. What the bytes mean
//! stands in [`wire`], what can be set in [`config`].
//!
//! # The picture
//!
//! ```text
//!            recvmmsg                                                   sendmmsg + GSO
//! kernel ───────────▶ net ──fills──▶ batch::Inbox    batch::Outbox ──drains──▶ net ───▶ kernel
//!                                        │                 ▲
//!                                   &[u8], from     (messages) x (members)
//!                                        ▼                 │
//!                                wire::plain ──▶ relay::Relay      pure: no clock, socket, randomness
//!
//!                     server owns all of these, the mio Poll, and the only clock
//! ```
//!
//! One turn: what waits at the socket is received, the relay decides what each
//! datagram does, and every member is sent *all* that the turn has for it, lines
//! of equal length as one train. An idle relay's turn is one datagram and waits
//! for nothing; a busy one's grows by itself, and a copy gets cheaper.
//!
//! Two things keep a copy cheap. The product of messages and members is never
//! stored: [`batch::Outbox`] keeps the messages once, contiguous, and expands
//! them while it is drained. And nothing on that way allocates after the start:
//! every table and buffer has its limit in [`config`], and is taken at once.
//!
//! # The rule
//!
//! Who may use whom, and which crates. `tests/tidy.rs` reads this table and the
//! sources, and fails on a breach; a module without a row is one.
//!
//! | module | uses | crates | never |
//! |---|---|---|---|
//! | `time` | | | reads a clock |
//! | `wire` | | | keeps state, allocates, knows time |
//! | `batch` | | | knows a protocol, calls the system, grows after `new` |
//! | `config` | | | reads a flag or a file |
//! | `metrics` | | `hdrhistogram` | decides anything |
//! | `directory` | | `dashmap` | decides anything: it is a view for other threads |
//! | `relay` | `time` `wire` `batch` `config` `metrics` | `blake3` `constant_time_eq` `hashbrown` `postcard` `serde` `siphasher` | reads a clock, opens a socket, draws a random number, starts a thread, logs a packet |
//! | `client` | `time` `wire` | `argon2` `blake3` `chacha20poly1305` `thiserror` `unicode_normalization` | reads a clock, opens a socket, draws a random number, starts a thread, logs a packet |
//! | `net` | `time` `batch` | `libc` `mio` `socket2` `thiserror` | knows what a datagram means |
//! | `server` | `time` `batch` `config` `directory` `metrics` `net` `relay` | `blake3` `getrandom` `mio` `postcard` `serde` `thiserror` `tracing` | decides about members, looks into a datagram |
//! | `control` | `config` `directory` `metrics` `relay` `server` | `blake3` `mio` `rustix` `serde` `serde_json` `thiserror` `tracing` | touches the network, a flag or a setting |
//! | `admin` | `batch` `config` `directory` `metrics` `relay` `server` | `axum` `constant_time_eq` `getrandom` `hyper` `hyper_util` `prometheus_client` `rustix` `serde` `serde_json` `thiserror` `tokio` `tracing` | changes anything, keeps the loop waiting |
//! | `blocking` | `time` `client` | `getrandom` `thiserror` | knows what a datagram means, starts a thread |
//! | `doctor` | `config` `net` | | changes anything on the machine |
//! | `cli` | `admin` `blocking` `client` `config` `control` `directory` `doctor` `relay` `server` `wire` | `clap` `clap_complete` `clap_mangen` `crossterm` `jiff` `ratatui` `serde` `serde_json` `signal_hook` `thiserror` `toml` `tracing` `tracing_subscriber` `unicode_segmentation` `unicode_width` | does what a library user could want |
//! | `main` | `cli` | | does anything |
//!
//! All may use `std`; `relay` and everything above it in the table do without
//! its clocks, threads, sockets and files. `unsafe` has one address, `net/sys`.
//!
//! # The tour, in five minutes
//!
//! * [`wire`]: bytes to values. [`wire::plain::Text::parse`] says what a
//!   datagram says, [`wire::plain::answer`] how the relay puts things. Of the
//!   native protocol, [`wire::uplink`] is what a client sends and
//!   [`wire::downlink`] what a relay does: `parse` and a `Builder` each. The
//!   protocols' page is its documentation.
//! * [`relay`]: the state machine. `relay/mod.rs` is its face; `strangers.rs`
//!   and `members.rs` are the rows of the protocol's table, and what they need
//!   to know has a file each: `peers` (who is here), `admission` (who may
//!   come), `notices` (when the room is told), `mirror` (who is an echo),
//!   `bucket` (rates), `recent` (fixed tables that forget).
//! * [`client`]: the member's half of the native protocol, a state machine like
//!   the relay. `client/mod.rs` is its face; `arriving.rs` is what each datagram
//!   does, `departing.rs` what is in the next one, `lifecycle.rs` how sessions
//!   follow one another; a room is `sending`, `receiving` and its register of
//!   `gaps`.
//! * [`batch`]: the memory between kernel and core. Read
//!   [`Outbox`](batch::Outbox): `say`, `announce`, `unicast` on the one side,
//!   `begin`, `fill`, `clear` on the other. `trains.rs` groups equal lengths.
//! * [`net`]: the kernel. `egress.rs` is what becomes of a datagram that it
//!   refuses, `sys/linux` the system calls, `sys/portable.rs` the same for any
//!   system, and the oracle in tests.
//! * [`server`]: the loop. [`Server::turn`](server::Server::turn) is the order
//!   of work; `clock.rs` the only clock.
//! * `admin` (a feature, on unless left out): the server over HTTP, for who
//!   watches it. `routes.rs` is what is where, `views.rs` how seldom the loop is
//!   asked, `metrics_page.rs` every metric's name.
//! * [`blocking`]: the client with a socket and a clock, for programs with
//!   threads; [`blocking::Connection`] in fifteen lines.
//! * [`metrics`], [`directory`]: what was counted, and who is here, for people.
//! * [`doctor`]: whether this machine lets the relay do its best; facts, then judgements.
//! * [`control`]: the operator's thread, its socket and its files.
//! * An upgrade: `relay/snapshot` is the state as rows, `server/handover.rs` its bytes
//!   and the loop that stands still, `control/takeover.rs` and `control/claim.rs` the
//!   two sides of what is said about it.
//! * `cli/`, in the binary: one file a subcommand, `settings.rs` for all flags of
//!   `serve`. `cli/chat` is a folder: one model for the screen and the pipe.
//!
//! # A relay without a socket
//!
//! The core is driven by hand, which is what the tests do:
//!
//! ```
//! use outcry::batch::{Outbox, Path, SendTally};
//! use outcry::config::{Config, INBOX_DATAGRAMS, DATAGRAM_BYTES_MAX};
//! use outcry::relay::Relay;
//! use outcry::Time;
//!
//! let config = Config::default();
//! let mut relay = Relay::new(&config.limits, config.bind, [7; 32]);
//! let mut out = Outbox::new(INBOX_DATAGRAMS, DATAGRAM_BYTES_MAX);
//! let [alice, bob] = [1001, 1002].map(|port| Path::to(([127, 0, 0, 1], port).into()));
//! for (from, text) in [(alice, "alice"), (bob, "bob"), (bob, "bob : hi")] {
//!     relay.handle_datagram(Time::default(), from, text.as_bytes(), &mut out);
//! }
//!
//! let (mut tally, mut items, mut heard) = (SendTally::default(), Vec::with_capacity(100), Vec::new());
//! relay.end_turn(Time::default(), &mut out);
//! out.begin(&relay, &mut tally);
//! while out.fill(&relay, &mut items) {}
//! for item in items.drain(..) {
//!     heard.push((item.to, std::str::from_utf8(&out.arena()[item.range()])?.to_owned()));
//! }
//! out.clear();
//! assert_eq!(heard, [(alice, "bob 进入聊天室...".to_owned()), (alice, "bob : hi".to_owned())]);
//! assert!(relay.counters().balances() && tally.offered == 2);
//! # Ok::<(), std::str::Utf8Error>(())
//! ```

#[cfg(feature = "admin")]
pub mod admin;
pub mod batch;
pub mod blocking;
pub mod client;
pub mod config;
#[cfg(unix)]
pub mod control;
pub mod directory;
#[cfg(target_os = "linux")]
pub mod doctor;
pub mod metrics;
pub mod net;
pub mod relay;
pub mod server;
mod time;
pub mod wire;

pub use time::Time;
