//! A relay that took over from another, beside it: whatever they are told, both
//! must say the same, and be the same.

use super::{Bench, OWN, Sent, addr, flush};
use outcry::batch::{Outbox, SendTally};
use outcry::config::{self, Limits};
use outcry::relay::{Event, Relay, Snapshot};

pub(super) struct Twin {
    pub(super) relay: Relay,
    pub(super) out: Outbox,
    tally: SendTally,
}

impl Bench {
    /// From now on a relay that was made from this one's snapshot has to agree
    /// with it in everything. A former one is compared to the last bit.
    pub fn split(&mut self, limits: &Limits) {
        let bytes = self.relay.snapshot().to_bytes();
        if let Some(former) = &self.twin {
            assert!(former.relay.snapshot().to_bytes() == bytes, "it has become another relay");
        }
        let snapshot = Snapshot::from_bytes(&bytes).expect("what a relay wrote can be read");
        let relay = Relay::resume(limits, addr(OWN), &snapshot).unwrap_or_else(|why| panic!("{why}"));
        assert!(relay.snapshot().to_bytes() == bytes, "it is another relay");
        assert_eq!(relay.next_deadline(), self.relay.next_deadline());
        let out = Outbox::new(config::INBOX_DATAGRAMS, config::DATAGRAM_BYTES_MAX);
        self.twin = Some(Box::new(Twin { relay, out, tally: SendTally::default() }));
    }

    /// Does the same with the twin, if there is one.
    pub(super) fn also(&mut self, act: impl FnOnce(&mut Twin)) {
        if let Some(twin) = &mut self.twin {
            act(twin);
        }
    }

    /// Ends the twin's turn, too.
    pub(super) fn compare(&mut self, sent: &[Sent], events: &[Event]) {
        let Some(twin) = &mut self.twin else { return };
        let also_sent = flush(&mut twin.relay, &mut twin.out, &mut twin.tally, self.now);
        assert_eq!(by_receiver(&also_sent), by_receiver(sent));
        let also: Vec<_> = std::iter::from_fn(|| twin.relay.poll_event()).collect();
        assert_eq!((also.as_slice(), twin.relay.said()), (events, self.relay.said()));
        assert_eq!(twin.relay.counters(), self.relay.counters());
        assert_eq!(twin.relay.next_deadline(), self.relay.next_deadline());
    }
}

/// Who is served first rotates, and is the outbox's; what each is sent in which order is not.
fn by_receiver(sent: &[Sent]) -> Vec<&Sent> {
    let mut sent: Vec<_> = sent.iter().collect();
    sent.sort_by_key(|sent| sent.to);
    sent
}
