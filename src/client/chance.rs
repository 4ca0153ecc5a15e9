//! Owns the client's chance: numbers that nobody can guess who does not know
//! the seed, the same ones for the same seed. Never asks the system for any.

use std::time::Duration;

/// A stream of bytes from a seed (BLAKE3 as an extendable output).
pub(super) struct Chance {
    stream: blake3::OutputReader,
}

impl Chance {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("outcry 1 client chance");
        hasher.update(seed);
        Self { stream: hasher.finalize_xof() }
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.fill(&mut bytes);
        bytes
    }

    /// Any number but 0, which stands for none on the wire.
    pub(super) fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes()).max(1)
    }

    /// A span from `least` to `most`.
    pub(super) fn span(&mut self, least: Duration, most: Duration) -> Duration {
        let width = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(self.number() % width.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_own_numbers_again() {
        let numbers = |seed: u8| {
            let mut chance = Chance::new(&[seed; 32]);
            [(); 4].map(|()| chance.number())
        };
        assert_eq!(numbers(1), numbers(1));
        assert!(numbers(1) != numbers(2) && numbers(1)[0] != numbers(1)[1]);
    }

    #[test]
    fn spans_fill_their_range_and_stay_in_it() {
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(10));
        let mut chance = Chance::new(&[0; 32]);
        let spans: Vec<_> = (0..1000).map(|_| chance.span(least, most)).collect();
        assert!(spans.iter().all(|span| (least..=most).contains(span)));
        let low = spans.iter().filter(|span| **span < least + (most - least) / 2).count();
        assert!((400..600).contains(&low), "{low}");
        assert_eq!(chance.span(most, most), most);
    }
}
