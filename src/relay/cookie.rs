//! Owns the two proofs that a native address is real: the cookie of the
//! handshake and the token of a path. Both are keyed hashes of the address and
//! the time. Never stores whom it gave one.

use crate::Time;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a cookie: issued u32, key id u8, three zeros, mac 16.
pub(super) const COOKIE_BYTES: usize = 24;
/// How long a cookie is good, in whole seconds: the second in which it was
/// issued and this many more.
const COOKIE_LIFE_S: u32 = 10;
/// How long a key is used, in seconds.
const KEY_PERIOD_S: u32 = 60;
/// A path token is good in its own slot and the next: 4 to 8 s.
const PATH_SLOT_S: u64 = 4;
const COOKIE_LABEL: &[u8] = b"outcry 1 cookie";

const _: () = assert!(COOKIE_LIFE_S < KEY_PERIOD_S, "a good cookie's key is this minute's or the one before");

/// Makes and checks cookies and path tokens. 64 bytes, and nothing a client.
pub(super) struct Cookies {
    cookie_secret: [u8; 32],
    path_key: [u8; 32],
}

impl Cookies {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self {
            cookie_secret: blake3::derive_key("outcry 1 cookie keys", seed),
            path_key: blake3::derive_key("outcry 1 path token", seed),
        }
    }

    /// The cookie for this attempt from `remote`.
    pub(super) fn issue(&self, now: Time, remote: SocketAddr, ccid: u64, nonce: u64) -> [u8; COOKIE_BYTES] {
        self.cookie(seconds(now), remote, ccid, nonce)
    }

    /// Whether `cookie` was issued for this attempt from `remote`, and lately.
    /// Compared whole and in constant time.
    pub(super) fn accepts(
        &self,
        now: Time,
        remote: SocketAddr,
        ccid: u64,
        nonce: u64,
        cookie: &[u8; COOKIE_BYTES],
    ) -> bool {
        let issued = u32::from_le_bytes([cookie[0], cookie[1], cookie[2], cookie[3]]);
        let is_fresh = seconds(now).checked_sub(issued).is_some_and(|age| age <= COOKIE_LIFE_S);
        is_fresh && constant_time_eq::constant_time_eq(&self.cookie(issued, remote, ccid, nonce), cookie)
    }

    /// What a client at `remote` must send back before its session moves there.
    pub(super) fn path_token(&self, now: Time, remote: SocketAddr, scid: u64) -> u64 {
        self.path_token_in_slot(path_slot(now), remote, scid)
    }

    /// Whether `token` is the one of this slot or of the one before.
    pub(super) fn accepts_path_token(&self, now: Time, remote: SocketAddr, scid: u64, token: u64) -> bool {
        let slot = path_slot(now);
        let [this, previous] = [slot, slot.wrapping_sub(1)].map(|slot| {
            let expected = self.path_token_in_slot(slot, remote, scid);
            constant_time_eq::constant_time_eq(&expected.to_le_bytes(), &token.to_le_bytes())
        });
        this | previous
    }

    /// The one cookie that is right if it was issued then: what it says of its
    /// key, and its zeros, are checked with the rest.
    fn cookie(&self, issued: u32, remote: SocketAddr, ccid: u64, nonce: u64) -> [u8; COOKIE_BYTES] {
        let minute = issued / KEY_PERIOD_S;
        let [key_id, ..] = minute.to_le_bytes();
        let mut hasher = blake3::Hasher::new_keyed(&self.key_of(minute));
        hasher.update(COOKIE_LABEL).update(&issued.to_le_bytes()).update(&[key_id]);
        hasher.update(&address_bytes(remote)).update(&ccid.to_le_bytes()).update(&nonce.to_le_bytes());
        let mut cookie = [0; COOKIE_BYTES];
        cookie[..4].copy_from_slice(&issued.to_le_bytes());
        cookie[4] = key_id;
        cookie[8..].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        cookie
    }

    fn key_of(&self, minute: u32) -> [u8; 32] {
        *blake3::keyed_hash(&self.cookie_secret, &minute.to_le_bytes()).as_bytes()
    }

    fn path_token_in_slot(&self, slot: u64, remote: SocketAddr, scid: u64) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.path_key);
        hasher.update(&scid.to_le_bytes()).update(&address_bytes(remote)).update(&slot.to_le_bytes());
        let [t0, t1, t2, t3, t4, t5, t6, t7, ..] = *hasher.finalize().as_bytes();
        u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7])
    }
}

/// Seconds since the relay's start, enough for 136 years.
fn seconds(now: Time) -> u32 {
    (now.nanos() / 1_000_000_000) as u32
}

fn path_slot(now: Time) -> u64 {
    now.nanos() / 1_000_000_000 / PATH_SLOT_S
}

/// The address as proofs of it hash it: IPv4 and IPv4 within IPv6 are one
/// address, and the port is little-endian.
pub(super) fn address_bytes(remote: SocketAddr) -> [u8; 18] {
    let ip = match remote.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&remote.port().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CCID: u64 = 0x1122_3344_5566_7788;
    const NONCE: u64 = 0x99AA_BBCC_DDEE_FF00;

    fn at(seconds: u64) -> Time {
        Time::new(seconds * 1_000_000_000, 0)
    }

    fn remote() -> SocketAddr {
        "192.0.2.1:500".parse().unwrap()
    }

    fn cookies() -> Cookies {
        Cookies::new(&[3; 32])
    }

    #[test]
    fn a_cookie_is_good_for_its_attempt_only() {
        let (cookies, now) = (cookies(), at(5));
        let cookie = cookies.issue(now, remote(), CCID, NONCE);
        assert_eq!((&cookie[..4], cookie[4], &cookie[5..8]), (&[5, 0, 0, 0][..], 0, &[0; 3][..]));
        assert!(cookies.accepts(now, remote(), CCID, NONCE, &cookie));
        for wrong in ["192.0.2.2:500", "192.0.2.1:501", "[2001:db8::1]:500", "[::192.0.2.1]:500"] {
            assert!(!cookies.accepts(now, wrong.parse().unwrap(), CCID, NONCE, &cookie), "{wrong}");
        }
        assert!(!cookies.accepts(now, remote(), CCID + 1, NONCE, &cookie));
        assert!(!cookies.accepts(now, remote(), CCID, NONCE ^ 1 << 63, &cookie));
        assert!(!cookies.accepts(now, remote(), NONCE, CCID, &cookie));
        assert!(!Cookies::new(&[4; 32]).accepts(now, remote(), CCID, NONCE, &cookie));
        assert!(!cookies.accepts(now, remote(), CCID, NONCE, &[0; COOKIE_BYTES]));
    }

    #[test]
    fn ipv4_within_ipv6_is_the_same_address() {
        let (cookies, mapped) = (cookies(), "[::ffff:192.0.2.1]:500".parse().unwrap());
        let cookie = cookies.issue(at(5), remote(), CCID, NONCE);
        assert!(cookies.accepts(at(5), mapped, CCID, NONCE, &cookie));
        assert_eq!(cookies.path_token(at(5), remote(), 7), cookies.path_token(at(5), mapped, 7));
    }

    /// Also across the change of the key, and where its id wraps at 256 minutes.
    #[test]
    fn a_cookie_is_good_for_ten_seconds() {
        let cookies = cookies();
        for issued in [0, 5, 49, 50, 55, 59, 60, 255 * 60 + 59, 256 * 60, 1 << 31] {
            let cookie = cookies.issue(at(issued), remote(), CCID, NONCE);
            for now in issued.saturating_sub(300)..issued + 300 {
                let expected = (issued..=issued + 10).contains(&now);
                assert_eq!(cookies.accepts(at(now), remote(), CCID, NONCE, &cookie), expected, "{issued} at {now}");
            }
            let (last, end) = (at(issued + 11), Duration::from_nanos(1));
            assert!(cookies.accepts(Time::new(last.nanos() - 1, 0), remote(), CCID, NONCE, &cookie));
            assert!(!cookies.accepts(last + end, remote(), CCID, NONCE, &cookie));
        }
    }

    #[test]
    fn the_key_is_new_every_minute_and_the_previous_one_is_accepted() {
        let cookies = cookies();
        let of_minute = |minute: u64| cookies.issue(at(minute * 60 + 59), remote(), CCID, NONCE);
        for (minute, key_id) in [(0, 0), (1, 1), (255, 255), (256, 0), (1000, 232)] {
            assert_eq!(of_minute(minute)[4], key_id);
            assert_ne!(cookies.key_of(minute as u32), cookies.key_of(minute as u32 + 1));
            assert_ne!(cookies.key_of(minute as u32), cookies.key_of(minute as u32 + 256));
            assert!(cookies.accepts(at(minute * 60 + 69), remote(), CCID, NONCE, &of_minute(minute)));
        }
    }

    #[test]
    fn a_cookie_with_any_bit_flipped_is_not_accepted() {
        let cookies = cookies();
        for issued in [5, 61, 255 * 60 + 59] {
            let cookie = cookies.issue(at(issued), remote(), CCID, NONCE);
            for now in issued..=issued + 10 {
                for bit in 0..COOKIE_BYTES * 8 {
                    let mut flipped = cookie;
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    assert!(!cookies.accepts(at(now), remote(), CCID, NONCE, &flipped), "bit {bit}");
                }
            }
        }
    }

    /// The construction, spelled out once more.
    #[test]
    fn the_mac_covers_what_the_page_says() {
        let secret = blake3::derive_key("outcry 1 cookie keys", &[3; 32]);
        let key = blake3::keyed_hash(&secret, &2u32.to_le_bytes());
        let mut covered = b"outcry 1 cookie".to_vec();
        covered.extend(125u32.to_le_bytes());
        covered.push(2);
        covered.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1]);
        covered.extend(500u16.to_le_bytes());
        covered.extend(CCID.to_le_bytes());
        covered.extend(NONCE.to_le_bytes());
        let mac = blake3::keyed_hash(key.as_bytes(), &covered);
        assert_eq!(cookies().issue(at(125), remote(), CCID, NONCE)[8..], mac.as_bytes()[..16]);
    }

    #[test]
    fn a_path_token_is_good_for_its_path_in_this_slot_and_the_next() {
        let (cookies, scid) = (cookies(), 77);
        for slot in [0, 4, 1 << 33] {
            let token = cookies.path_token(at(slot + 3), remote(), scid);
            assert_eq!(token, cookies.path_token(at(slot), remote(), scid));
            for (now, accepted) in [(slot, true), (slot + 3, true), (slot + 7, true), (slot + 8, false)] {
                assert_eq!(cookies.accepts_path_token(at(now), remote(), scid, token), accepted, "{slot} at {now}");
            }
            assert!(slot == 0 || !cookies.accepts_path_token(at(slot - 1), remote(), scid, token));
            assert!(!cookies.accepts_path_token(at(slot), remote(), scid + 1, token));
            for wrong in ["192.0.2.1:501", "192.0.2.2:500"] {
                assert!(!cookies.accepts_path_token(at(slot), wrong.parse().unwrap(), scid, token));
            }
            assert!((0..64).all(|bit| !cookies.accepts_path_token(at(slot), remote(), scid, token ^ 1 << bit)));
        }
    }
}
