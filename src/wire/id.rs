//! The native protocol's numbers, one type each, so that none is taken for
//! another. Never draws one: randomness is its owner's.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($number:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $number);
    )*};
}

ids! {
    /// A client's random id, new for each new session: what the relay sends to it alone repeats it.
    Ccid(u64);
    /// Random per attempt at a session.
    Nonce(u64);
    /// The relay's random secret for a session, the client's ticket.
    Scid(u64);
    /// Random per client run, kept over reconnects; never shown to others.
    Instance(u64);
    /// Random per relay state: a new one voids every number learnt before.
    Epoch(u64);
    /// Random per room and epoch, never 0: keeps senders out who were never in the room.
    RoomTag(u64);
    /// Tells sealed rooms of one name apart; 0 is not sealed.
    KeyId(u64);
    /// What a path challenge asks back.
    Token(u64);
    /// A member, plain or native; never 0, not reused within an epoch.
    MemberId(u32);
    /// A client's number for a request; its answer repeats it.
    Req(u16);
    /// A room, as long as it lives.
    RoomHandle(u16);
    /// An entry's place in its room; the first is 1.
    Seq(u64);
    /// A message's place among those of its sender in its room; the first is 1.
    Sseq(u32);
    /// A private message's place among those of its sender.
    Dseq(u32);
    /// A session datagram's number: one more for each, wrapping.
    PacketNumber(u32);
}

impl PacketNumber {
    /// Whether this number was given after `other`: it is ahead of it by less
    /// than half of the circle.
    pub fn is_newer_than(self, other: Self) -> bool {
        (1..1 << 31).contains(&self.0.wrapping_sub(other.0))
    }

    /// The number of the datagram after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Where a number is on a line that does not wrap.
    fn number(count: u64) -> PacketNumber {
        PacketNumber(u32::try_from(count % (1 << 32)).unwrap())
    }

    #[test]
    fn half_a_circle_is_neither_newer_nor_older() {
        let (a, b) = (PacketNumber(5), PacketNumber(5 + (1 << 31)));
        assert!(!a.is_newer_than(b) && !b.is_newer_than(a) && !a.is_newer_than(a));
        assert!(PacketNumber(u32::MAX).next().is_newer_than(PacketNumber(u32::MAX)));
    }

    proptest! {
        /// T3: the oracle counts without wrapping.
        #[test]
        fn newer_is_what_was_counted_later(wraps in 0u64..3, near in -5i64..5, apart in 1u64..1 << 31) {
            let older = (wraps << 32).saturating_add_signed(near);
            let newer = older + apart;
            prop_assert!(number(newer).is_newer_than(number(older)));
            prop_assert!(!number(older).is_newer_than(number(newer)));
        }

        #[test]
        fn any_two_numbers_have_at_most_one_order(a: u32, b: u32) {
            let (a, b) = (PacketNumber(a), PacketNumber(b));
            prop_assert!(!(a.is_newer_than(b) && b.is_newer_than(a)));
            prop_assert_eq!(a.next().0, a.0.wrapping_add(1));
        }
    }
}
