//! Owns the seeded hash of every table that is keyed by what strangers send:
//! whoever does not know the seed cannot make entries collide.

use siphasher::sip::SipHasher13;
use std::hash::{BuildHasher, Hash};

/// SipHash-1-3 (Aumasson and Bernstein, 2012) with a secret key.
#[derive(Clone, Copy)]
pub(super) struct SeededHash {
    key: [u8; 16],
}

impl SeededHash {
    pub(super) fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    pub(super) fn of(&self, value: &(impl Hash + ?Sized)) -> u64 {
        self.hash_one(value)
    }

    pub(super) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.key).hash(bytes)
    }
}

impl BuildHasher for SeededHash {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.key)
    }
}
