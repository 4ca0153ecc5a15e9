//! Owns the code that proves a plain peer's address: stateless, a keyed hash
//! of address and time slot. Never stores whom it was told.

use super::cookie::address_bytes;
use crate::Time;
use crate::config;
use crate::wire::plain::CODE_LEN;
use std::net::SocketAddr;

/// 32 characters that cannot be taken for one another: no 0 and O, no 1 and I.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// Makes and checks join codes of 40 bits.
pub(super) struct Challenge {
    key: [u8; 32],
}

impl Challenge {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self { key: blake3::derive_key("outcry 1 plain challenge", seed) }
    }

    /// The code for `remote` in this slot.
    pub(super) fn code(&self, remote: SocketAddr, now: Time) -> Code {
        self.code_in_slot(remote, slot(now))
    }

    /// Whether `said` is the code of this slot or of the one before. Compared
    /// in constant time, case ignored.
    pub(super) fn accepts(&self, remote: SocketAddr, now: Time, said: &str) -> bool {
        let Ok(mut said) = <[u8; CODE_LEN]>::try_from(said.trim().as_bytes()) else { return false };
        said.make_ascii_uppercase();
        let slot = slot(now);
        let this = constant_time_eq::constant_time_eq(&said, &self.code_in_slot(remote, slot).0);
        let previous = self.code_in_slot(remote, slot.wrapping_sub(1));
        this | constant_time_eq::constant_time_eq(&said, &previous.0)
    }

    fn code_in_slot(&self, remote: SocketAddr, slot: u64) -> Code {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&address_bytes(remote)).update(&slot.to_le_bytes());
        let digest = hasher.finalize();
        let mut bits = digest.as_bytes()[..CODE_LEN].iter();
        Code(std::array::from_fn(|_| ALPHABET[usize::from(bits.next().map_or(0, |byte| byte & 31))]))
    }
}

fn slot(now: Time) -> u64 {
    now.nanos() / 1_000_000_000 / config::CHALLENGE_SLOT_S
}

/// A join code, as told to a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code([u8; CODE_LEN]);

impl Code {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("invariant: the alphabet is ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_code_is_good_for_its_address_in_this_slot_and_the_next() {
        let challenge = Challenge::new(&[3; 32]);
        let (start, slot) = (Time::default(), Duration::from_secs(config::CHALLENGE_SLOT_S));
        let remote: SocketAddr = "192.0.2.1:500".parse().unwrap();
        let code = challenge.code(remote, start);
        for (said, now, accepted) in [
            (code.as_str().to_owned(), start, true),
            (format!(" {} \r\n", code.as_str().to_lowercase()), start + slot, true),
            (code.as_str().to_owned(), start + slot * 2, false),
            (code.as_str()[1..].to_owned(), start, false),
            (String::new(), start, false),
        ] {
            assert_eq!(challenge.accepts(remote, now, &said), accepted, "{said:?}");
        }
        for other in ["192.0.2.1:501", "192.0.2.2:500"] {
            assert!(!challenge.accepts(other.parse().unwrap(), start, code.as_str()));
        }
        assert!(!Challenge::new(&[4; 32]).accepts(remote, start, code.as_str()));
        for at in 0..CODE_LEN {
            let mut wrong = code.0;
            wrong[at] = if wrong[at] == b'2' { b'3' } else { b'2' };
            assert!(!challenge.accepts(remote, start, std::str::from_utf8(&wrong).unwrap()));
        }
    }
}
