//! The bytes of a message: printable, self-checking, and telling all that a
//! receiver needs (who, which, when planned, in which phase). No state.
//!
//! ```text
//! u17 : <32 characters: stamp> <6 characters: checksum> <filler up to the size>
//! ```
//!
//! The stamp is 24 bytes in base64: magic 1, phase 1, run 4, sender 3, seq 4,
//! index 4, planned ns 7, little-endian. The checksum covers everything before
//! and after itself, the name too. The shortest message has 48 bytes, so that
//! the usual 64 hold it and a name of seven characters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outcry::config::LINE_BYTES_MAX;
use outcry::wire::plain;

const MAGIC: u8 = 0xA7;
const STAMP_BYTES: usize = 24;
const STAMP_CHARS: usize = 32;
const CHECK_CHARS: usize = 6;
const SEPARATOR: &[u8] = plain::SEPARATOR.as_bytes();
/// Where a separator is looked for: a target may put a longer name in front.
const PREFIX_BYTES_MAX: usize = 96;

/// Bytes a message needs beyond the sender's name.
pub const OVERHEAD_BYTES: usize = SEPARATOR.len() + STAMP_CHARS + CHECK_CHARS;
/// The longest message: the plain protocol's limit.
pub const MESSAGE_BYTES_MAX: usize = LINE_BYTES_MAX;

/// What part of a run a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Proof of membership, before and after measuring.
    Probe = 0,
    /// Sent to warm caches and queues; counted by nothing.
    Warmup = 1,
    /// Counted.
    Measure = 2,
}

/// What a message says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Part of the run.
    pub phase: Phase,
    /// Which run: other runs' messages are unexpected here.
    pub run: u32,
    /// The member that sent it, below 2^24.
    pub sender: u32,
    /// The sender's own count, from 0.
    pub seq: u32,
    /// Position in the plan; the round number for a probe.
    pub index: u32,
    /// When it should have been sent, in ns of the run's clock, below 2^56.
    pub planned: u64,
}

/// What a datagram turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// One of ours, intact.
    Stamped(Stamp),
    /// One of ours by its look, but its checksum fails.
    Corrupt,
    /// Something else: a notice, or another program's text.
    Other,
}

/// Writes a message of `size` bytes (or the least possible) into `out`.
pub fn encode(stamp: &Stamp, name: &str, size: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(SEPARATOR);
    let start = out.len();
    out.resize(start + STAMP_CHARS, 0);
    let written = URL_SAFE_NO_PAD.encode_slice(pack(stamp), &mut out[start..]);
    assert_eq!(written, Ok(STAMP_CHARS), "24 bytes are 32 characters");
    let check_at = out.len();
    out.resize(check_at + CHECK_CHARS, 0);
    while out.len() < size {
        out.push(b'a' + (out.len() % 26) as u8);
    }
    let check = check_text(&out[..check_at], &out[check_at + CHECK_CHARS..]);
    out[check_at..check_at + CHECK_CHARS].copy_from_slice(&check);
}

/// Reads a message, whatever stands before its first separator.
pub fn decode(bytes: &[u8]) -> Content {
    let Some(start) = after_separator(bytes) else { return Content::Other };
    let Some(text) = bytes.get(start..start + STAMP_CHARS + CHECK_CHARS) else { return Content::Other };
    let mut packed = [0; STAMP_BYTES];
    match URL_SAFE_NO_PAD.decode_slice(&text[..STAMP_CHARS], &mut packed) {
        Ok(STAMP_BYTES) if packed[0] == MAGIC => {}
        _ => return Content::Other,
    }
    let check_at = start + STAMP_CHARS;
    let check = check_text(&bytes[..check_at], &bytes[check_at + CHECK_CHARS..]);
    match unpack(&packed) {
        Some(stamp) if check == text[STAMP_CHARS..] => Content::Stamped(stamp),
        _ => Content::Corrupt,
    }
}

fn after_separator(bytes: &[u8]) -> Option<usize> {
    let head = &bytes[..bytes.len().min(PREFIX_BYTES_MAX)];
    head.windows(SEPARATOR.len()).position(|window| window == SEPARATOR).map(|at| at + SEPARATOR.len())
}

fn pack(stamp: &Stamp) -> [u8; STAMP_BYTES] {
    let mut bytes = [0; STAMP_BYTES];
    bytes[0] = MAGIC;
    bytes[1] = stamp.phase as u8;
    bytes[2..6].copy_from_slice(&stamp.run.to_le_bytes());
    bytes[6..9].copy_from_slice(&stamp.sender.to_le_bytes()[..3]);
    bytes[9..13].copy_from_slice(&stamp.seq.to_le_bytes());
    bytes[13..17].copy_from_slice(&stamp.index.to_le_bytes());
    bytes[17..24].copy_from_slice(&stamp.planned.to_le_bytes()[..7]);
    bytes
}

fn unpack(bytes: &[u8; STAMP_BYTES]) -> Option<Stamp> {
    let phase = match bytes[1] {
        0 => Phase::Probe,
        1 => Phase::Warmup,
        2 => Phase::Measure,
        _ => return None,
    };
    Some(Stamp {
        phase,
        run: number(&bytes[2..6]) as u32,
        sender: number(&bytes[6..9]) as u32,
        seq: number(&bytes[9..13]) as u32,
        index: number(&bytes[13..17]) as u32,
        planned: number(&bytes[17..24]),
    })
}

fn number(bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(wide)
}

/// 36 bits of a multiply-and-shift hash, eight bytes a step: damage is what
/// it must find, not intent, and it runs once per received copy.
fn check_text(before: &[u8], after: &[u8]) -> [u8; CHECK_CHARS] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut hash = fold(fold(0x9E37_79B9_7F4A_7C15, before), after);
    hash ^= hash >> 31;
    std::array::from_fn(|at| ALPHABET[(hash >> (at * 6) & 63) as usize])
}

fn fold(seed: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(MULTIPLIER);
        hash ^ hash >> 32
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    mix(hash, number(rest) ^ (bytes.len() as u64) << 56)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            phase: Phase::Measure,
            run: 0xDEAD_BEEF,
            sender: 999_999,
            seq: 7,
            index: 1 << 31,
            planned: 123_456_789_012,
        }
    }

    #[test]
    fn sixty_four_bytes_hold_a_message_and_it_reads_back() {
        let mut bytes = Vec::new();
        encode(&stamp(), "u999999", 64, &mut bytes);
        assert_eq!(bytes.len(), 64);
        assert!(bytes.iter().all(|byte| (0x20..0x7F).contains(byte)));
        assert_eq!(decode(&bytes), Content::Stamped(stamp()));
        encode(&stamp(), "u999999", 0, &mut bytes);
        assert_eq!(bytes.len(), 7 + OVERHEAD_BYTES);
        assert_eq!(decode(&bytes), Content::Stamped(stamp()));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let mut bytes = Vec::new();
        encode(&stamp(), "u17", 100, &mut bytes);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(!matches!(decode(&damaged), Content::Stamped(_)), "byte {at}");
        }
        assert_ne!(decode(&bytes[..99]), Content::Stamped(stamp()));
    }

    #[test]
    fn what_is_not_ours_is_other() {
        for text in ["", "bob 进入聊天室...", "bob : hello", "bob : AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(decode(text.as_bytes()), Content::Other);
        }
    }
}
