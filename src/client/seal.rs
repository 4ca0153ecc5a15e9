//! Owns sealed rooms: the key from a passphrase, and what a message is turned
//! into so that a relay sees ciphertext only. Never draws a nonce, never keeps
//! who said what: see `room.rs` for repeats.
//!
//! # The labels, byte for byte
//!
//! `derive_key` is BLAKE3's key derivation mode, all strings are UTF-8 without
//! an end mark, all integers little-endian.
//!
//! ```text
//! salt        = derive_key("outcry 1 room salt", room name)                          32 bytes
//! K           = Argon2id v1.3 (passphrase in NFKC, salt, 65536 KiB, t 3, p 4)         32 bytes
//! key_id      = first 8 bytes of derive_key("outcry 1 room key id", K); 0 becomes 1
//! message key = derive_key("outcry 1 room message key", K)                           32 bytes
//! AAD         = "outcry 1 sealed message" | key_id 8 | room name | kind 1 (= 1)
//! payload     = key_id 8 | nonce 24 | XChaCha20-Poly1305 ciphertext | tag 16
//! plaintext   = sender_tag 8 | counter u64 | name_len u8 | name | text
//! ```
//!
//! Sources: RFC 9106 (Argon2), RFC 8439 and draft-irtf-cfrg-xchacha-03
//! (XChaCha20-Poly1305), the BLAKE3 paper, Unicode annex 15 (NFKC). The vectors
//! in the tests are made by `tests/python/seal_vectors.py`.
//!
//! Not offered: forward secrecy, and proof of who inside the room wrote it.

use crate::wire::header::{EntryKind, MSG_PAYLOAD_BYTES_MAX, NAME_BYTES_MAX};
use crate::wire::id::KeyId;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use std::fmt;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// Memory that [`RoomKey::derive`] takes for its time, in KiB.
pub const ARGON2_KIB: u32 = 64 << 10;
/// Its passes over that memory.
const ARGON2_PASSES: u32 = 3;
/// Its lanes.
const ARGON2_LANES: u32 = 4;

const KEY_ID_BYTES: usize = 8;
/// Bytes of the nonce of a sealed message.
pub(super) const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// `sender_tag`, `counter` and the length of the name.
const NOTE_HEADER_BYTES: usize = 17;
/// What sealing adds to a text, but for the name.
const SEAL_OVERHEAD: usize = KEY_ID_BYTES + NONCE_BYTES + NOTE_HEADER_BYTES + TAG_BYTES;

const LABEL: &[u8] = b"outcry 1 sealed message";

/// Why there is no key, or no sealed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// A key from nothing is no secret.
    #[error("the passphrase is empty: choose one")]
    NoPassphrase,
    /// Argon2 refused; only a passphrase of 4 GiB does that.
    #[error("the passphrase cannot be used: choose a shorter one")]
    Passphrase,
    /// Name and text do not fit in one message.
    #[error("the text is too long for a sealed message: at most {max} bytes with this name")]
    TooLong {
        /// Bytes of text that would fit.
        max: usize,
    },
}

/// The key of one sealed room. Who has it can read and write there.
#[derive(Clone)]
pub struct RoomKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
    aad: Box<[u8]>,
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl RoomKey {
    /// The key of `room` that a passphrase stands for. Takes 64 MiB and some
    /// tenths of a second: guessing costs the same.
    ///
    /// # Errors
    /// The passphrase is empty or absurdly long.
    pub fn derive(room: &str, passphrase: &str) -> Result<Self, SealError> {
        if passphrase.is_empty() {
            return Err(SealError::NoPassphrase);
        }
        let normal: String = passphrase.nfkc().collect();
        let salt = blake3::derive_key("outcry 1 room salt", room.as_bytes());
        let params = Params::new(ARGON2_KIB, ARGON2_PASSES, ARGON2_LANES, None).map_err(|_| SealError::Passphrase)?;
        let mut secret = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(normal.as_bytes(), &salt, &mut secret)
            .map_err(|_| SealError::Passphrase)?;
        Ok(Self::from_secret(room, &secret))
    }

    /// The key of `room` from K, 32 secret bytes that the members share some other way.
    pub fn from_secret(room: &str, secret: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = blake3::derive_key("outcry 1 room key id", secret);
        // 0 on the wire means: not sealed.
        let id = KeyId(u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1));
        let key = blake3::derive_key("outcry 1 room message key", secret);
        let aad = [LABEL, &id.0.to_le_bytes(), room.as_bytes(), &[EntryKind::SEALED.0]].concat();
        Self { id, cipher: XChaCha20Poly1305::new(&key.into()), aad: aad.into() }
    }

    /// What tells this room from others of its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Writes the payload that says `note` to `out`, whatever that held. No
    /// two calls may have the same nonce.
    ///
    /// # Errors
    /// The text is too long.
    pub(super) fn seal(&self, nonce: [u8; NONCE_BYTES], note: &Note<'_>, out: &mut Vec<u8>) -> Result<(), SealError> {
        let max = text_bytes_max(note.name);
        let name_len = u8::try_from(note.name.len().min(NAME_BYTES_MAX)).expect("invariant: at most 64");
        if note.text.len() > max || note.name.len() > NAME_BYTES_MAX {
            return Err(SealError::TooLong { max });
        }
        out.clear();
        out.extend_from_slice(&self.id.0.to_le_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&note.sender_tag.to_le_bytes());
        out.extend_from_slice(&note.counter.to_le_bytes());
        out.push(name_len);
        out.extend_from_slice(note.name.as_bytes());
        out.extend_from_slice(note.text);
        let plain = &mut out[KEY_ID_BYTES + NONCE_BYTES..];
        let sealed = self.cipher.encrypt_inout_detached(&nonce.into(), &self.aad, plain.into());
        out.extend_from_slice(&sealed.expect("invariant: a datagram is shorter than 256 GiB"));
        Ok(())
    }

    /// What a payload says; `scratch` holds it. `None`: another key or room, or somebody changed it.
    pub(super) fn open<'s>(&self, payload: &[u8], scratch: &'s mut Vec<u8>) -> Option<Note<'s>> {
        let (id, rest) = payload.split_first_chunk::<KEY_ID_BYTES>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        if KeyId(u64::from_le_bytes(*id)) != self.id {
            return None;
        }
        scratch.clear();
        scratch.extend_from_slice(sealed);
        let plain = scratch.as_mut_slice().into();
        self.cipher.decrypt_inout_detached(&(*nonce).into(), &self.aad, plain, &(*tag).into()).ok()?;
        Note::parse(scratch)
    }
}

/// What a sealed message says once it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note<'a> {
    /// Random per program run and room.
    pub(super) sender_tag: u64,
    /// 1, 2, ... per `sender_tag`: with it, tells a repeat.
    pub(super) counter: u64,
    /// What its sender calls itself.
    pub(super) name: &'a str,
    pub(super) text: &'a [u8],
}

impl<'a> Note<'a> {
    fn parse(plain: &'a [u8]) -> Option<Self> {
        let (sender_tag, rest) = plain.split_first_chunk()?;
        let (counter, rest) = rest.split_first_chunk()?;
        let (&name_len, rest) = rest.split_first()?;
        let (name, text) = rest.split_at_checked(name_len.into())?;
        Some(Self {
            sender_tag: u64::from_le_bytes(*sender_tag),
            counter: u64::from_le_bytes(*counter),
            name: crate::wire::cursor::name(name).ok()?,
            text,
        })
    }
}

/// Bytes of text that fit in one sealed message beside `name`.
pub fn text_bytes_max(name: &str) -> usize {
    MSG_PAYLOAD_BYTES_MAX - SEAL_OVERHEAD - name.len().min(NAME_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: Note<'_> = Note { sender_tag: 7, counter: 9, name: "小明", text: b"hello" };

    fn key() -> RoomKey {
        RoomKey::from_secret("den", &[3; 32])
    }

    fn sealed() -> Vec<u8> {
        let mut payload = Vec::new();
        key().seal([5; NONCE_BYTES], &NOTE, &mut payload).unwrap();
        payload
    }

    fn from_hex(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_room_only() {
        let (payload, mut scratch) = (sealed(), Vec::new());
        assert_eq!(payload.len(), SEAL_OVERHEAD + NOTE.name.len() + NOTE.text.len());
        assert_eq!(key().open(&payload, &mut scratch), Some(NOTE));
        for other in [RoomKey::from_secret("den2", &[3; 32]), RoomKey::from_secret("den", &[4; 32])] {
            assert_eq!(other.open(&payload, &mut scratch), None);
        }
    }

    #[test]
    fn no_byte_can_be_changed_and_none_be_missing() {
        let (payload, mut scratch) = (sealed(), Vec::new());
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            assert_eq!(key().open(&changed, &mut scratch), None, "byte {at}");
            assert_eq!(key().open(&payload[..at], &mut scratch), None, "cut at {at}");
        }
    }

    #[test]
    fn the_longest_text_fills_a_message_and_one_byte_more_is_refused() {
        let (mut payload, text) = (Vec::new(), vec![b'x'; 1200]);
        let max = text_bytes_max("bob");
        let note = |len| Note { name: "bob", text: &text[..len], ..NOTE };
        key().seal([0; NONCE_BYTES], &note(max), &mut payload).unwrap();
        assert_eq!(payload.len(), MSG_PAYLOAD_BYTES_MAX);
        assert_eq!(key().seal([0; NONCE_BYTES], &note(max + 1), &mut payload), Err(SealError::TooLong { max }));
    }

    /// Made by another implementation: libsodium, the Argon2 reference code, BLAKE3 for Python.
    #[test]
    fn the_vectors_hold() {
        let key = RoomKey::derive("den", "cafe\u{301} \u{fb01}sh").unwrap();
        assert_eq!(key.id(), KeyId(VECTOR_KEY_ID));
        let mut payload = Vec::new();
        key.seal(std::array::from_fn(|at| at as u8), &NOTE, &mut payload).unwrap();
        assert_eq!(payload, from_hex(VECTOR_PAYLOAD));
    }

    #[test]
    fn an_empty_passphrase_is_no_secret() {
        assert_eq!(RoomKey::derive("den", "").unwrap_err(), SealError::NoPassphrase);
    }

    const VECTOR_KEY_ID: u64 = 0xd5f6_0ad4_2692_ac05;
    const VECTOR_PAYLOAD: &str = "05ac9226d40af6d5000102030405060708090a0b0c0d0e0f1011121314151617\
        4fb963f1c32f3456c1886022817eaaed9e00219b8c9f09e36b49c0e1c83ad3e3491c5162d7970fd163628b56";
}
