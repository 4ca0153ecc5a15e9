//! Owns every limit of the relay and every default, each with its unit in its
//! name and its price in its doc. Never parses a flag or a file: `cli/` does,
//! and hands a finished [`Config`] down.
//!
//! Three kinds of numbers live here: constants of the protocol that nobody
//! configures, bounds of what may be configured, and defaults. In a rate, a
//! cap or a time that is configured, 0 means "no limit" unless its doc says
//! otherwise.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

// ---- the protocol's own limits ---------------------------------------------

/// Longest line of chat, in bytes, the sender's `name : ` included.
pub const LINE_BYTES_MAX: usize = 1024;
/// Longest datagram that the relay sends, in bytes: 1280 - 48, what every IPv6 path takes.
pub const DATAGRAM_BYTES_MAX: usize = 1232;
/// Least burst of the byte rate, in bytes: a rate below a line a second must
/// still let the longest line through.
pub const BYTE_BURST_MIN: u32 = 1024;

/// How long an address is refused after a kick or a quarantine, in ms.
pub const REFUSE_MS: u64 = 60_000;
/// Slots of the table of refused addresses: about 48 bytes each.
pub const REFUSED_ADDRESSES_MAX: usize = 4096;
/// Bans at most: about 200 bytes each, taken as they come.
pub const BANS_MAX: usize = 4096;
/// Members that are looked at for a new ban in one step: some 0.5 ms.
pub const BAN_LOOKS_PER_STEP: usize = 4096;
/// How long after it has left a muted member is so when it comes again, in ms.
pub const MUTE_REMEMBERED_MS: u64 = 3_600_000;
/// Slots of the table of muted addresses: about 48 bytes each.
pub const MUTED_ADDRESSES_MAX: usize = 4096;
/// When a native client is to ask again that a lockdown keeps out, in ms.
pub const LOCKDOWN_RETRY_MS: u32 = 30_000;
/// When one is to ask again because the relay is about to stop, in ms.
pub const DRAINING_RETRY_MS: u32 = 5_000;
/// Rooms that are looked at for one page of a list: some 0.1 ms.
pub const ROOMS_PER_VIEW: usize = 1024;
/// How long a drain waits for members to leave, in ms.
pub const DRAIN_DEADLINE_MS_DEFAULT: u64 = 30_000;
/// Longest alternate address of a drain, in bytes: what a CLOSE can carry.
pub const ALTERNATE_BYTES_MAX: usize = 64;
/// How long after its exit an address does not join by a line of chat, in ms.
pub const EXIT_GRACE_MS: u64 = 2_000;
/// Slots of the table of recent exits: about 48 bytes each.
pub const RECENT_EXITS_MAX: usize = 4096;
/// Least time between two `[relay]` lines of explanation to one peer, in ms.
pub const EXPLAIN_EVERY_MS: u64 = 1_000;
/// How long before its idle expiry a peer is warned, in ms.
pub const IDLE_WARNING_MS: u64 = 60_000;

/// Length of a challenge's time slot, in seconds: a code is good in its own
/// slot and the next, so for 10 to 20 minutes.
pub const CHALLENGE_SLOT_S: u64 = 600;
/// Answers to one address within [`CHALLENGE_SLOT_S`].
pub const CHALLENGE_ANSWERS_PER_ADDRESS: u32 = 3;
/// Answers to all addresses together, a second: 40 kB/s at most.
pub const CHALLENGE_ANSWERS_PER_S: u32 = 1_000;
/// Slots of the table that counts answers by address: about 32 bytes each.
pub const CHALLENGE_ADDRESSES_MAX: usize = 16_384;
/// Slots of the table of join rates by prefix: about 32 bytes each.
pub const JOIN_PREFIXES_MAX: usize = 16_384;

/// Datagrams in a row that make a mirror, each equal to something relayed to it.
pub const MIRROR_RUN: u8 = 32;
/// How long a relayed payload counts for the mirror guard, in ms.
pub const MIRROR_WINDOW_MS: u64 = 2_000;
/// Payload hashes the mirror guard remembers: about 32 bytes each.
pub const MIRROR_TABLE: usize = 1024;

/// Port-unreachable errors after which a silent peer leaves.
pub const UNREACHABLE_COUNT: u8 = 3;
/// Least time between the first and the last of them, in ms: one can be forged.
pub const UNREACHABLE_SPAN_MS: u64 = 2_000;

/// Burst of the notices: so many go out one by one before they are merged.
pub const NOTICE_BURST: u32 = 20;

/// How long notices wait to be merged once they come too fast, in ms.
pub const NOTICE_MERGE_MS: u64 = 500;
/// How long the join rate of a prefix is remembered, in ms.
pub const JOIN_PREFIX_REMEMBERED_MS: u64 = 60_000;
/// Strangers that the console remembers to answer: about 80 bytes each.
pub const STRANGERS_HEARD_MAX: usize = 1024;

/// Datagrams one receive call may fill: 2112 bytes each, and 20 KiB each in
/// the outbox.
pub const INBOX_DATAGRAMS: usize = 256;
/// Copies that one batch makes at most, where [`BATCH_DATAGRAMS_MIN`] allows:
/// some 0.1 to 0.2 s of CPU, for which commands, timers and a stop wait.
pub const BATCH_COPIES_MAX: usize = 200_000;
/// Datagrams of a batch, however many members: a train of 16 already costs
/// little more a copy than one of 64.
pub const BATCH_DATAGRAMS_MIN: usize = 16;

/// Datagrams to take in at once: what is taken in is sent before anything else
/// is looked at, so many members make short batches.
pub fn batch_datagrams(members: usize) -> usize {
    (BATCH_COPIES_MAX / members.max(1)).clamp(BATCH_DATAGRAMS_MIN, INBOX_DATAGRAMS)
}

/// Members from which on the socket is not watched during a flush: two system
/// calls a turn, against some 40 to 150 ns a copy.
pub const UNWATCHED_MEMBERS_MIN: usize = 64;
/// Receive batches of one turn of the loop: bounds how long timers wait.
pub const RECEIVE_BATCHES_PER_TURN: u32 = 8;
/// How long a turn of the loop goes on receiving, in ms: with many members a
/// batch is thousands of copies, and commands and timers wait behind it.
pub const RECEIVE_MS_PER_TURN: u64 = 50;
/// How long a blocked flush is retried before its copies are dropped, in ms.
pub const BLOCKED_DEADLINE_MS: u64 = 100;

/// Log lines a second of what members do, of what operators do, and of all else each;
/// above it they are left out and counted. 30 of 150 bytes are 390 MB a day, whatever happens.
pub const LOG_LINES_PER_S: u32 = 10;
/// Log lines that may come at once.
pub const LOG_LINES_BURST: u32 = 200;
/// Log lines that wait to be written: about 200 bytes each.
pub const LOG_LINES_WAITING_MAX: usize = 1024;

/// Clients of the control socket at one time: a buffer of [`CONTROL_BUFFER_BYTES`] each.
pub const CONTROL_CLIENTS_MAX: usize = 16;
/// Longest request on the control socket, in bytes.
pub const CONTROL_ASK_BYTES_MAX: usize = 4096;
/// Bytes of an answer that wait for a slow client; the rest is made as it reads.
pub const CONTROL_BUFFER_BYTES: usize = 64 << 10;
/// How long a client of the control socket may be silent, or read nothing, in ms.
pub const CONTROL_IDLE_MS: u64 = 30_000;
/// How long a relay that hands over waits for the process that wants its place, in milliseconds: it
/// stands still meanwhile.
pub const TAKEOVER_DEADLINE_MS: u64 = 5_000;
/// How long timers wait, when a relay has stood still, until all that came meanwhile is received,
/// in milliseconds.
pub const CATCH_UP_MS: u64 = 1_000;
/// How long it tries to tell a process that reads nothing that it goes on, in milliseconds.
pub const TAKEOVER_REFUSAL_MS: u64 = 1_000;
/// How often the members are written to the file of `--state`, if they have changed, in ms.
pub const STATE_EVERY_MS: u64 = 3_000;
/// How often if they have not: a file that is too old is not read, in ms.
pub const STATE_REFRESH_MS: u64 = 60_000;

// ---- the native protocol's limits --------------------------------------------

/// Silence after which a session ends, in seconds.
pub const SESSION_IDLE_S: u16 = 60;
/// How often a silent client says that it is there, in seconds.
pub const SESSION_KEEPALIVE_S: u16 = 20;
/// Payload bytes that a session may have unacknowledged.
pub const SESSION_WINDOW_BYTES: u32 = 256 << 10;
/// Answers to other versions of the protocol, a second: 20 bytes each.
pub const VERSION_ANSWERS_PER_S: u32 = 100;
/// Answers to tickets that nobody has, a second: 20 bytes each.
pub const NO_SESSION_ANSWERS_PER_S: u32 = 1_000;
/// How long a session that its client closed is remembered, in ms.
pub const CLOSED_REMEMBERED_MS: u64 = 15_000;
/// Slots of the tables of closed sessions: about 40 bytes each.
pub const CLOSED_REMEMBERED_MAX: usize = 4096;
/// When a CLOSE is sent, in ms after the session's end.
pub const CLOSE_AFTER_MS: [u64; 3] = [0, 50, 200];
/// Sessions whose CLOSE is repeated at one time; others get one. 80 bytes each.
pub const CLOSING_MAX: usize = 1024;
/// How long a client is known after its session's end, in ms.
pub const INSTANCE_REMEMBERED_MS: u64 = 600_000;
/// Clients without a session that are known at most: about 200 bytes each.
pub const INSTANCES_REMEMBERED_MAX: usize = 65_536;
/// How long a session whose port is said to be closed has to speak, in ms.
pub const PROBE_MS: u64 = 3_000;
/// Least time between two challenges of a session's new address, in ms.
pub const PATH_CHALLENGE_EVERY_MS: u64 = 1_000;
/// Rooms a session may be in: the HEADs of all fit in one datagram.
pub const ROOMS_PER_SESSION_MAX: usize = 32;
/// When a room's HEAD is sent, in ms after its last entry.
pub const HEAD_AFTER_MS: [u64; 2] = [100, 1_000];
/// Rooms that one call of a deadline serves at most.
pub const ROOMS_PER_DEADLINE: usize = 256;
/// Rooms that are looked at for one answer to LIST: some 10 µs.
pub const ROOMS_PER_LIST: usize = 256;
/// Joins, leaves and renames entered in a room at once, and then each second.
pub const PRESENCE_BURST: u32 = 50;
/// See [`PRESENCE_BURST`].
pub const PRESENCE_PER_S: u32 = 1;
/// How long the members of a room are told its new tag before it is used, in ms:
/// less than the 2 s for which they take the former one.
pub const TAG_TOLD_MS: u64 = 500;
/// Members of a room that are told so at once; the next ones 1 ms later.
pub const TAGS_TOLD_AT_ONCE: usize = 256;
/// Datagrams that answer one NACK at most.
pub const REPAIRS_PER_NACK: u32 = 64;
/// Datagrams of repair and feeding in one turn at most.
pub const REPAIRS_PER_TURN: u32 = 256;
/// Those of them that answers to NACKs have; the others are for feeding. A
/// member gets a third of what is left of them: whoever asks gets something.
pub const NACKED_PER_TURN: u32 = 3 * REPAIRS_PER_NACK;
/// Bytes of repair and feeding, a second and member.
pub const REPAIR_BYTES_PER_S: u32 = 1 << 20;
/// How often slow members are fed, in ms.
pub const FEED_EVERY_MS: u64 = 10;
/// Numbers of which it is judged how many are lost, at least.
pub const JUDGED_NUMBERS_MIN: u64 = 16;
/// Over how long it is measured what a member takes and loses, in ms, at least.
pub const FEED_MEASURED_MS: u64 = 1_000;
/// How long after it was sent a slow member's request for an entry shows that it is lost, in ms.
pub const FEED_SETTLES_MS: u16 = 250;
/// Least rate at which a slow member is fed, in bytes a second.
pub const FEED_BYTES_PER_S_MIN: u32 = 8 << 10;
/// Rate at which a slow member is fed while its own is not known, in bytes a second.
pub const FEED_BYTES_PER_S_START: u32 = 16 << 10;
/// How long after the first new entry since its last REPORT a member makes the next one, in ms.
pub const REPORT_AFTER_MS: u64 = 1_000;
/// A live member that does not report for so long, in ms, while
/// [`REPORT_MISSED_BYTES`] were sent to it, is live no more.
pub const REPORT_MISSED_MS: u64 = 3_000;
/// See [`REPORT_MISSED_MS`].
pub const REPORT_MISSED_BYTES: u64 = 64 << 10;
/// Bytes of entries that one turn takes in at most: beyond what a full inbox
/// can hold, names included.
pub const ENTRY_BYTES_PER_TURN: usize = 600 << 10;

// ---- bounds of what may be configured --------------------------------------

/// Most peers a relay can be configured for; what `max-peers = 0` means. The
/// tables are taken at the start, so "no limit" needs a number: 2 GB here.
pub const PEERS_MAX_LARGEST: u32 = 4_000_000;
/// Largest rate, a second: above it one token is less than a nanosecond.
pub const RATE_PER_S_LARGEST: u32 = 1_000_000_000;
/// Shortest idle time but 0, in ms: members are looked at once a second.
pub const IDLE_MS_SMALLEST: u64 = 1_000;
/// Shortest interval of the stats but 0, in ms: printing must not be the load.
pub const STATS_EVERY_MS_SMALLEST: u64 = 100;
/// Most sessions a relay can be configured for: 512 MB.
pub const SESSIONS_MAX_LARGEST: u32 = 1_000_000;
/// Most rooms a relay can be configured for: they are numbered in 16 bits.
pub const ROOMS_MAX_LARGEST: u32 = 65_000;
/// Longest of any configured time, in ms (365 days): fits u64 nanoseconds.
pub const TIME_MS_LARGEST: u64 = 365 * 24 * 3_600_000;
/// Smallest socket buffer, in bytes: below it a single datagram is dropped.
pub const BUFFER_BYTES_SMALLEST: u32 = 4 << 10;
/// Largest socket buffer, in bytes: Linux doubles it, and keeps it in an int.
pub const BUFFER_BYTES_LARGEST: u32 = 512 << 20;

// ---- defaults --------------------------------------------------------------

/// Where the relay listens: only programs of this machine reach it.
pub const BIND_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9999);
/// Receive buffer asked of the kernel, in bytes. Kernel memory, used only
/// while datagrams wait: about 10,000 of 64 bytes.
pub const RCVBUF_BYTES_DEFAULT: u32 = 8 << 20;
/// Send buffer asked of the kernel, in bytes. Kernel memory, used only while
/// copies wait for a device.
pub const SNDBUF_BYTES_DEFAULT: u32 = 8 << 20;
/// Interval of the stats, in ms; 0: only at exit.
pub const STATS_EVERY_MS_DEFAULT: u64 = 0;
/// Peers at most: at 512 bytes each, 25 MB when full. Their tables have 65,536
/// places, which a hash table fills to 7/8.
pub const PEERS_MAX_DEFAULT: u32 = 50_000;
/// Idle time on loopback and under `challenge`, in ms: 60 minutes.
pub const IDLE_MS_DEFAULT: u64 = 60 * 60_000;
/// Idle time under `open` on a network, in ms: 5 minutes, because a forged
/// join makes the relay send to its victim for as long.
pub const IDLE_MS_OPEN_DEFAULT: u64 = 5 * 60_000;
/// Messages a second and peer, on a network. Each costs a copy to every peer.
pub const MSGS_PER_S_DEFAULT: u32 = 20;
/// Bytes a second and peer, on a network.
pub const BYTES_PER_S_DEFAULT: u32 = 16 << 10;
/// Joins a second and prefix (/32, /64), on a network.
pub const JOINS_PER_S_PREFIX_DEFAULT: u32 = 5;
/// Joins a second from everywhere, on a network.
pub const JOINS_PER_S_TOTAL_DEFAULT: u32 = 1_000;
/// Peers of one prefix (/32, /64), on a network.
pub const PREFIX_PEERS_MAX_DEFAULT: u32 = 64;
/// Join and leave notices a second, before they are merged.
pub const NOTICES_PER_S_DEFAULT: u32 = 10;
/// Native sessions at most: at 512 bytes each, 32 MB when full.
pub const SESSIONS_MAX_DEFAULT: u32 = 65_536;
/// Native sessions of one prefix (/32, /64), on a network.
pub const PREFIX_SESSIONS_MAX_DEFAULT: u32 = 256;
/// Rooms at most: about 64 KiB each, from [`RINGS_BYTES_MAX_DEFAULT`].
pub const ROOMS_MAX_DEFAULT: u32 = 4_096;
/// Living rooms created from one prefix (/32, /64), on a network.
pub const PREFIX_ROOMS_MAX_DEFAULT: u32 = 16;
/// How long a room outlives its last member, in ms: 10 minutes.
pub const ROOM_IDLE_MS_DEFAULT: u64 = 600_000;
/// Members up to which joins, leaves and renames are entered in a room.
pub const PRESENCE_MEMBERS_MAX_DEFAULT: u32 = 256;
/// Bytes that a room keeps at most.
pub const RING_BYTES_MAX_DEFAULT: u32 = 1 << 20;
/// Messages that a room keeps at most.
pub const RING_MESSAGES_MAX_DEFAULT: u32 = 4_096;
/// Bytes that all rooms keep at most. Reserved at the start, used as rooms fill.
pub const RINGS_BYTES_MAX_DEFAULT: u32 = 256 << 20;
/// Smallest of [`Limits::ring_bytes_max`]: two pages.
pub const RING_BYTES_SMALLEST: u32 = 64 << 10;
/// Smallest of [`Limits::ring_messages_max`]: what is still to be sent is never overwritten.
pub const RING_MESSAGES_SMALLEST: u32 = 2_048;
/// Copies of notices a second, before they are suppressed: about 0.13 s of
/// CPU at 1.3 µs a copy.
pub const NOTICE_COPIES_PER_S_DEFAULT: u32 = 100_000;

const _: () = {
    assert!(REPORT_MISSED_MS > 2 * REPORT_AFTER_MS, "a REPORT has time to arrive");
    assert!(BYTE_BURST_MIN as usize >= LINE_BYTES_MAX, "the longest line passes every byte rate");
    assert!(MIRROR_RUN as usize <= MIRROR_TABLE, "a run of a mirror fits in what is remembered");
    assert!(EXIT_GRACE_MS <= REFUSE_MS);
    assert!(NACKED_PER_TURN < REPAIRS_PER_TURN, "a share is kept for feeding");
    assert!(INBOX_DATAGRAMS > 0 && INBOX_DATAGRAMS <= 1024, "recvmmsg takes 1024 at most");
    assert!(LOG_LINES_PER_S > 0 && LOG_LINES_BURST > 0 && 2 * LOG_LINES_BURST as usize <= LOG_LINES_WAITING_MAX);
    assert!(RECEIVE_BATCHES_PER_TURN > 0 && UNREACHABLE_COUNT > 0 && NOTICE_BURST > 0);
    assert!(0 < PEERS_MAX_DEFAULT && PEERS_MAX_DEFAULT <= PEERS_MAX_LARGEST);
    assert!(PREFIX_PEERS_MAX_DEFAULT <= PEERS_MAX_DEFAULT);
    assert!(JOINS_PER_S_PREFIX_DEFAULT <= JOINS_PER_S_TOTAL_DEFAULT);
    assert!(NOTICE_COPIES_PER_S_DEFAULT >= PEERS_MAX_DEFAULT, "a notice to a full relay is not suppressed");
    assert!(JOINS_PER_S_TOTAL_DEFAULT <= RATE_PER_S_LARGEST && NOTICE_COPIES_PER_S_DEFAULT <= RATE_PER_S_LARGEST);
    assert!(BYTES_PER_S_DEFAULT <= RATE_PER_S_LARGEST);
    assert!(IDLE_MS_OPEN_DEFAULT > IDLE_WARNING_MS && IDLE_MS_DEFAULT > IDLE_WARNING_MS, "warned before, not at once");
    assert!(IDLE_MS_DEFAULT <= TIME_MS_LARGEST && TIME_MS_LARGEST < u64::MAX / 1_000_000);
    assert!(RCVBUF_BYTES_DEFAULT >= BUFFER_BYTES_SMALLEST && RCVBUF_BYTES_DEFAULT <= BUFFER_BYTES_LARGEST);
    assert!(SNDBUF_BYTES_DEFAULT >= BUFFER_BYTES_SMALLEST && SNDBUF_BYTES_DEFAULT <= BUFFER_BYTES_LARGEST);
    assert!(BUFFER_BYTES_LARGEST <= i32::MAX as u32 / 2, "setsockopt takes an int and doubles it");
};

// ---- choices ---------------------------------------------------------------

/// The name is none of those that would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName {
    /// The names that would be right.
    pub expected: &'static [&'static str],
}

impl fmt::Display for UnknownName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "expected one of {}", self.expected.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// An enum whose values have one name each, the same in flags, files and output.
macro_rules! choice {
    ($(#[$about:meta])* $choice:ident { $($(#[$doc:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $choice {
            $($(#[$doc])* $value,)+
        }

        impl $choice {
            /// The names of all values.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The value's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }
        }

        impl FromStr for $choice {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($name => Ok(Self::$value),)+
                    _ => Err(UnknownName { expected: Self::NAMES }),
                }
            }
        }

        impl fmt::Display for $choice {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.name())
            }
        }
    };
}

choice! {
    /// Who may join by the plain protocol.
    PlainPolicy {
        /// The first datagram joins.
        Open = "open",
        /// A stranger must send back a code first, which proves its address.
        Challenge = "challenge",
        /// Nobody.
        Off = "off",
    }
}

choice! {
    /// The language of notices and of what the relay says.
    Lang {
        /// Chinese.
        Zh = "zh",
        /// English.
        En = "en",
    }
}

choice! {
    /// How the relay talks to the kernel.
    Io {
        /// The fastest way this system has.
        Auto = "auto",
        /// One datagram a call, anywhere.
        Portable = "portable",
    }
}

choice! {
    /// The least severe event that is logged.
    LogLevel {
        /// Nothing.
        Off = "off",
        /// What ends the relay.
        Error = "error",
        /// What an operator should change.
        Warn = "warn",
        /// Start and stop; who joins and leaves, and why.
        Info = "info",
        /// What helps to find a fault.
        Debug = "debug",
        /// Everything there is.
        Trace = "trace",
    }
}

choice! {
    /// The form of the log.
    LogFormat {
        /// A line for people.
        Human = "human",
        /// A JSON object a line, for programs.
        Json = "json",
    }
}

// ---- what is configured ----------------------------------------------------

/// What the pure relay needs to know: policies, caps and rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Who may join by the plain protocol.
    pub plain: PlainPolicy,
    /// The language of notices.
    pub lang: Lang,
    /// Peers at most, `1..=PEERS_MAX_LARGEST`. The tables are taken at the
    /// start; at most 512 bytes a peer when full.
    pub peers_max: u32,
    /// Silence after which a peer leaves, in ms; 0 never.
    pub idle_ms: u64,
    /// Messages a second of one peer, with a burst of one second's worth; 0 no
    /// limit. 16 bytes a peer.
    pub msgs_per_s: u32,
    /// Bytes a second of one peer, with a burst of one second's worth but at
    /// least [`BYTE_BURST_MIN`]; 0 no limit. 16 bytes a peer.
    pub bytes_per_s: u32,
    /// Joins a second from one prefix (/32, /64); 0 no limit.
    pub joins_per_s_prefix: u32,
    /// Joins a second from everywhere; 0 no limit.
    pub joins_per_s_total: u32,
    /// Peers of one prefix (/32, /64); 0 no limit.
    pub prefix_peers_max: u32,
    /// Whether peers that send back what they get are put into quarantine:
    /// one hash a datagram.
    pub mirror_guard: bool,
    /// Notices a second, with a burst of [`NOTICE_BURST`]; above it they are
    /// merged. 0 no limit.
    pub notices_per_s: u32,
    /// Copies of notices a second, all peers together; above it notices are
    /// suppressed and counted. 0 no limit.
    pub notice_copies_per_s: u32,
    /// Whether the operator's console is on: the relay then reports what is said.
    pub console: bool,
    /// Native sessions at most; the tables are taken at the start, at most 512
    /// bytes a session of one room when full.
    pub sessions_max: u32,
    /// Native sessions of one prefix (/32, /64); 0 no limit.
    pub prefix_sessions_max: u32,
    /// Rooms at most, the lobby included.
    pub rooms_max: u32,
    /// Living rooms created from one prefix (/32, /64); 0 no limit.
    pub prefix_rooms_max: u32,
    /// Rooms of one session, at most [`ROOMS_PER_SESSION_MAX`].
    pub rooms_per_session_max: u32,
    /// Native members of one room; 0 no limit.
    pub room_members_max: u32,
    /// How long a room outlives its last member, in ms.
    pub room_idle_ms: u64,
    /// Members up to which joins, leaves and renames are entered in a room.
    pub presence_members_max: u32,
    /// Bytes that a room keeps at most, `RING_BYTES_SMALLEST..=RING_BYTES_MAX_DEFAULT`.
    pub ring_bytes_max: u32,
    /// Messages that a room keeps at most, from `RING_MESSAGES_SMALLEST` on.
    pub ring_messages_max: u32,
    /// Bytes that all rooms keep at most. [`ring_bytes_max`](Self::ring_bytes_max) of them
    /// are the lobby's own.
    pub rings_bytes_max: u32,
    /// What a native client must prove to know; `None`: anyone may come.
    pub access_key: Option<AccessKey>,
}

/// A secret shared with those who may come in. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey(Vec<u8>);

impl AccessKey {
    /// Shortest key, in bytes.
    pub const BYTES_MIN: usize = 16;

    /// The key in a file of these bytes, without its line end; `None` if it is too short.
    pub fn from_file(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        (bytes.len() >= Self::BYTES_MIN).then(|| Self(bytes.to_vec()))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AccessKey(..)")
    }
}

impl Limits {
    /// The defaults of a relay bound to `bind`: on loopback they never trip a
    /// load test, elsewhere they protect the relay and its members.
    pub fn for_bind(bind: SocketAddr) -> Self {
        let plain = if is_loopback(bind) { PlainPolicy::Open } else { PlainPolicy::Challenge };
        Self::for_policy(bind, plain)
    }

    /// The defaults of a relay bound to `bind` whose policy is `plain`: under
    /// `open` on a network peers expire sooner.
    pub fn for_policy(bind: SocketAddr, plain: PlainPolicy) -> Self {
        let local = is_loopback(bind);
        let guarded = |limit| if local { 0 } else { limit };
        let forgeable = plain == PlainPolicy::Open && !local;
        Self {
            plain,
            lang: Lang::Zh,
            peers_max: PEERS_MAX_DEFAULT,
            idle_ms: if forgeable { IDLE_MS_OPEN_DEFAULT } else { IDLE_MS_DEFAULT },
            msgs_per_s: guarded(MSGS_PER_S_DEFAULT),
            bytes_per_s: guarded(BYTES_PER_S_DEFAULT),
            joins_per_s_prefix: guarded(JOINS_PER_S_PREFIX_DEFAULT),
            joins_per_s_total: guarded(JOINS_PER_S_TOTAL_DEFAULT),
            prefix_peers_max: guarded(PREFIX_PEERS_MAX_DEFAULT),
            mirror_guard: true,
            notices_per_s: NOTICES_PER_S_DEFAULT,
            notice_copies_per_s: NOTICE_COPIES_PER_S_DEFAULT,
            console: false,
            sessions_max: SESSIONS_MAX_DEFAULT,
            prefix_sessions_max: guarded(PREFIX_SESSIONS_MAX_DEFAULT),
            rooms_max: ROOMS_MAX_DEFAULT,
            prefix_rooms_max: guarded(PREFIX_ROOMS_MAX_DEFAULT),
            rooms_per_session_max: ROOMS_PER_SESSION_MAX as u32,
            room_members_max: 0,
            room_idle_ms: ROOM_IDLE_MS_DEFAULT,
            presence_members_max: PRESENCE_MEMBERS_MAX_DEFAULT,
            ring_bytes_max: RING_BYTES_MAX_DEFAULT,
            ring_messages_max: RING_MESSAGES_MAX_DEFAULT,
            rings_bytes_max: RINGS_BYTES_MAX_DEFAULT,
            access_key: None,
        }
    }
}

impl Limits {
    /// These limits, and of `wanted` what can change while a relay runs: not
    /// what tables were taken for, and no counting that was not done before.
    pub fn changed_to(&self, wanted: &Self) -> Self {
        let counted = |now: u32, wanted: u32| if (now == 0) == (wanted == 0) { wanted } else { now };
        Self {
            peers_max: self.peers_max,
            prefix_peers_max: counted(self.prefix_peers_max, wanted.prefix_peers_max),
            console: self.console,
            sessions_max: self.sessions_max,
            prefix_sessions_max: counted(self.prefix_sessions_max, wanted.prefix_sessions_max),
            rooms_max: self.rooms_max,
            ring_bytes_max: self.ring_bytes_max,
            ring_messages_max: self.ring_messages_max,
            rings_bytes_max: self.rings_bytes_max,
            ..wanted.clone()
        }
    }
}

/// Whether only programs of this machine can reach `addr`.
fn is_loopback(addr: SocketAddr) -> bool {
    addr.ip().to_canonical().is_loopback()
}

/// Where the operator's socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAt {
    /// In the runtime directory, if there is one and nobody else is there.
    Auto,
    /// Nowhere.
    None,
    /// There, or the relay does not start.
    Path(PathBuf),
}

impl FromStr for ControlAt {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "none" => Self::None,
            path => Self::Path(PathBuf::from(path)),
        })
    }
}

impl fmt::Display for ControlAt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => out.write_str("auto"),
            Self::None => out.write_str("none"),
            Self::Path(path) => path.display().fmt(out),
        }
    }
}

/// Everything a relay is started with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where it listens; port 0: the kernel picks one.
    pub bind: SocketAddr,
    /// How it talks to the kernel.
    pub io: Io,
    /// Receive buffer asked of the kernel, in bytes.
    pub rcvbuf_bytes: u32,
    /// Send buffer asked of the kernel, in bytes.
    pub sndbuf_bytes: u32,
    /// Interval of the stats, in ms; 0: only at exit.
    pub stats_every_ms: u64,
    /// The least severe event that is logged.
    pub log: LogLevel,
    /// The form of the log.
    pub log_format: LogFormat,
    /// Where [`Limits::access_key`] was read.
    pub access_key_file: Option<PathBuf>,
    /// Where the operator's socket is.
    pub control: ControlAt,
    /// Where bans are kept.
    pub ban_file: Option<PathBuf>,
    /// Where plain members are kept over a restart.
    pub state_file: Option<PathBuf>,
    /// Whether SIGTERM drains the relay first.
    pub drain_on_term: bool,
    /// The HTTP face, if there is one.
    pub admin: Option<AdminConfig>,
    /// Where its token was read.
    pub admin_token_file: Option<PathBuf>,
    /// What the core needs to know.
    pub limits: Limits,
}

/// Where the HTTP face listens, and who may look: whoever has the token. Other
/// machines cannot reach it without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    bind: SocketAddr,
    token: Option<AccessKey>,
}

impl AdminConfig {
    /// `None`: other machines could reach `bind`, and nothing would keep them out.
    pub fn new(bind: SocketAddr, token: Option<AccessKey>) -> Option<Self> {
        (is_loopback(bind) || token.is_some()).then_some(Self { bind, token })
    }

    /// Where to listen.
    pub fn bind(&self) -> SocketAddr {
        self.bind
    }

    /// What must be known to look.
    pub fn token(&self) -> Option<&AccessKey> {
        self.token.as_ref()
    }
}

impl Config {
    /// The defaults of a relay bound to `bind`.
    pub fn for_bind(bind: SocketAddr) -> Self {
        Self::for_limits(bind, Limits::for_bind(bind))
    }

    /// The defaults of a relay bound to `bind` that has these `limits`.
    pub fn for_limits(bind: SocketAddr, limits: Limits) -> Self {
        Self {
            bind,
            io: Io::Auto,
            rcvbuf_bytes: RCVBUF_BYTES_DEFAULT,
            sndbuf_bytes: SNDBUF_BYTES_DEFAULT,
            stats_every_ms: STATS_EVERY_MS_DEFAULT,
            log: LogLevel::Info,
            log_format: LogFormat::Human,
            access_key_file: None,
            control: ControlAt::Auto,
            ban_file: None,
            state_file: None,
            drain_on_term: false,
            admin: None,
            admin_token_file: None,
            limits,
        }
    }
}

impl Config {
    /// This configuration, and of `wanted` what can change while a relay runs.
    pub fn changed_to(&self, wanted: &Self) -> Self {
        Self {
            bind: self.bind,
            io: self.io,
            rcvbuf_bytes: self.rcvbuf_bytes,
            sndbuf_bytes: self.sndbuf_bytes,
            log_format: self.log_format,
            control: self.control.clone(),
            admin: self.admin.clone(),
            admin_token_file: self.admin_token_file.clone(),
            limits: self.limits.changed_to(&wanted.limits),
            ..wanted.clone()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::for_bind(BIND_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(bind: &str) -> Limits {
        Limits::for_bind(bind.parse().unwrap())
    }

    #[test]
    fn loopback_is_open_and_free_of_limits() {
        for bind in ["127.0.0.1:9999", "127.8.9.10:1", "[::1]:9999", "[::ffff:127.0.0.1]:9999"] {
            let limits = limits(bind);
            assert_eq!(limits.plain, PlainPolicy::Open, "{bind}");
            assert_eq!((limits.msgs_per_s, limits.bytes_per_s, limits.prefix_peers_max), (0, 0, 0), "{bind}");
            assert_eq!((limits.joins_per_s_prefix, limits.joins_per_s_total), (0, 0), "{bind}");
            assert_eq!(limits.idle_ms, 3_600_000, "{bind}");
        }
    }

    #[test]
    fn a_network_is_challenged_and_guarded() {
        for bind in ["0.0.0.0:9999", "[::]:9999", "192.0.2.1:9999", "[2001:db8::1]:9999"] {
            let limits = limits(bind);
            assert_eq!(limits.plain, PlainPolicy::Challenge, "{bind}");
            assert_eq!((limits.msgs_per_s, limits.bytes_per_s, limits.prefix_peers_max), (20, 16_384, 64), "{bind}");
            assert_eq!((limits.joins_per_s_prefix, limits.joins_per_s_total), (5, 1000), "{bind}");
            assert_eq!(limits.idle_ms, 3_600_000, "{bind}");
        }
    }

    #[test]
    fn open_on_a_network_expires_sooner() {
        let bind = "0.0.0.0:9999".parse().unwrap();
        assert_eq!(Limits::for_policy(bind, PlainPolicy::Open).idle_ms, 300_000);
        assert_eq!(Limits::for_policy(bind, PlainPolicy::Off).idle_ms, 3_600_000);
        assert_eq!(Limits::for_policy(BIND_DEFAULT, PlainPolicy::Open).idle_ms, 3_600_000);
    }

    #[test]
    fn other_machines_need_a_token_to_look() {
        let token = || AccessKey::from_file(b"0123456789abcdef");
        let admin = |bind: &str, token| AdminConfig::new(bind.parse().unwrap(), token);
        assert!(admin("127.0.0.1:9464", None).is_some() && admin("[::1]:9464", None).is_some());
        assert!(admin("0.0.0.0:9464", None).is_none() && admin("[::]:9464", None).is_none());
        assert!(admin("192.0.2.1:9464", None).is_none() && admin("192.0.2.1:9464", token()).is_some());
    }

    #[test]
    fn names_are_read_back() {
        for name in PlainPolicy::NAMES {
            assert_eq!(name.parse::<PlainPolicy>().unwrap().name(), *name);
        }
        assert_eq!("Open".parse::<PlainPolicy>().unwrap_err().to_string(), "expected one of open, challenge, off");
    }
}
