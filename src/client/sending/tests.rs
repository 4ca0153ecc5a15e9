//! T4, the client's half: whatever is lost, refused, slowed or interrupted, each
//! message is entered at most once in an epoch, in order, and its outcome is true.

use super::*;
use proptest::prelude::*;

const MUTED: RefusedCause = RefusedCause::Muted;

/// What a relay knows of one sender in one room.
#[derive(Default)]
struct Oracle {
    accepted: u32,
    /// What was entered in this epoch, by ticket.
    entered: Vec<u64>,
    /// What was entered in earlier ones.
    earlier: Vec<u64>,
    /// Tickets that are refused.
    muted: Vec<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        muted: bool,
    },
    /// All that can be sent; the datagram arrives or not, and its answer comes back or not.
    Send {
        arrives: bool,
        answered: bool,
    },
    Wait(u64),
    Reconnect {
        new_epoch: bool,
        forgets: bool,
    },
    Slow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::bool::weighted(0.1).prop_map(|muted| Step::Push { muted }),
        6 => (prop::bool::weighted(0.7), prop::bool::weighted(0.7))
            .prop_map(|(arrives, answered)| Step::Send { arrives, answered }),
        3 => (0u64..3000).prop_map(Step::Wait),
        1 => (any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(new_epoch, forgets)| Step::Reconnect { new_epoch, forgets }),
        1 => Just(Step::Slow),
    ]
}

struct Run {
    sending: Sending,
    oracle: Oracle,
    rtt: Rtt,
    events: Events,
    now_ms: u64,
    tickets: u64,
    delivered: Vec<u64>,
    given_up: Vec<(u64, NotSent)>,
}

impl Run {
    fn new() -> Self {
        let mut sending = Sending::new(RoomId(1));
        let mut events = Events::default();
        sending.resume(Time::default(), Sseq(1), Resume::NewEpoch, &mut events);
        let rtt = Rtt::default();
        let oracle = Oracle::default();
        Self { sending, oracle, rtt, events, now_ms: 0, tickets: 0, delivered: vec![], given_up: vec![] }
    }

    fn now(&self) -> Time {
        Time::new(self.now_ms * 1_000_000, 0)
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push { muted } => self.push(muted),
            Step::Send { arrives, answered } => self.send(arrives, answered),
            Step::Wait(ms) => {
                self.now_ms += ms;
                self.sending.handle_deadline(self.now());
            }
            Step::Reconnect { new_epoch, forgets } => self.reconnect(new_epoch, forgets),
            Step::Slow => {
                let (now, next) = (self.now(), Sseq(self.oracle.accepted + 1));
                self.sending.slow(now, next, Duration::from_millis(300), 50, 10_000);
            }
        }
        self.collect();
    }

    fn push(&mut self, muted: bool) {
        self.tickets += 1;
        if muted {
            self.oracle.muted.push(self.tickets);
        }
        let payload = self.tickets.to_le_bytes().to_vec();
        self.sending.push(self.now(), Ticket(self.tickets), EntryKind::TEXT, payload).expect("there is place");
    }

    fn send(&mut self, arrives: bool, answered: bool) {
        let now = self.now();
        let (mut refused, mut missing) = (Vec::new(), false);
        while let Some((sseq, kind, payload)) =
            self.sending.peek(now, 200 - self.sending.in_flight().min(200), self.sending.in_flight() == 0)
        {
            let ticket = payload.try_into().map_or(0, u64::from_le_bytes);
            if arrives {
                if sseq.0 != self.oracle.accepted + 1 {
                    missing |= sseq.0 > self.oracle.accepted;
                } else if kind == EntryKind::VOID {
                    self.oracle.accepted += 1;
                } else if self.oracle.muted.contains(&ticket) {
                    refused.push(sseq);
                } else {
                    self.oracle.accepted += 1;
                    self.oracle.entered.push(ticket);
                }
            }
            self.sending.sent(now, &self.rtt);
        }
        if arrives && answered {
            self.now_ms += 5;
            let (now, cumulative) = (self.now(), Sseq(self.oracle.accepted));
            self.sending.measure(now, cumulative, &mut self.rtt);
            for sseq in refused {
                self.sending.refuse(now, sseq, MUTED, &mut self.events);
            }
            self.sending.acknowledge(now, cumulative, Seq(1), &self.rtt, &mut self.events);
            if missing {
                self.sending.handle_missing(now, cumulative, &self.rtt);
            }
        }
    }

    fn reconnect(&mut self, new_epoch: bool, forgets: bool) {
        self.now_ms += 1000;
        if new_epoch {
            let entered = std::mem::take(&mut self.oracle.entered);
            self.oracle.earlier.extend(entered);
        }
        if new_epoch || forgets {
            self.oracle.accepted = 0;
        }
        let resume = if new_epoch { Resume::NewEpoch } else { Resume::NewSession };
        self.sending.resume(self.now(), Sseq(self.oracle.accepted + 1), resume, &mut self.events);
    }

    fn collect(&mut self) {
        while let Some(event) = self.events.poll() {
            match event {
                Event::Delivered { ticket, .. } => self.delivered.push(ticket.0),
                Event::NotSent { ticket, why, .. } => self.given_up.push((ticket.0, why)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nothing is lost any more.
    fn heal(&mut self) {
        for _ in 0..500 {
            self.step(&Step::Send { arrives: true, answered: true });
            self.step(&Step::Wait(200));
        }
    }

    /// What must hold at any time. `forgot`: the relay forgot a sender within
    /// its epoch, which a sender that has no acknowledgement cannot know.
    fn check(&self, forgot: bool) -> Result<(), TestCaseError> {
        let entered = &self.oracle.entered;
        if !forgot {
            prop_assert!(entered.is_sorted() && entered.windows(2).all(|pair| pair[0] != pair[1]), "{entered:?}");
        }
        for ticket in &self.delivered {
            prop_assert!(entered.contains(ticket) || self.oracle.earlier.contains(ticket), "{ticket} was not entered");
        }
        for (ticket, why) in &self.given_up {
            let may_be_there = forgot || *why == NotSent::Unknown || self.oracle.earlier.contains(ticket);
            prop_assert!(may_be_there || !entered.contains(ticket), "{ticket} was entered: {why:?}");
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn outcomes_are_true_and_nothing_is_entered_twice(steps in proptest::collection::vec(step(), 1..150)) {
        let mut run = Run::new();
        let mut forgot = false;
        for step in &steps {
            forgot |= matches!(step, Step::Reconnect { new_epoch: false, forgets: true });
            run.step(step);
            run.check(forgot)?;
        }
        run.heal();
        run.check(forgot)?;
        let mut settled: Vec<u64> = run.delivered.iter().copied().chain(run.given_up.iter().map(|it| it.0)).collect();
        settled.sort_unstable();
        prop_assert_eq!(settled, (1..=run.tickets).collect::<Vec<_>>(), "each message has one outcome");
        prop_assert_eq!((run.sending.open(), run.sending.in_flight(), run.sending.due()), (0, 0, None));
    }
}

#[test]
fn buffers_are_used_again() {
    let mut run = Run::new();
    for _ in 0..10 {
        let mut payload = run.sending.buffer();
        payload.extend_from_slice(b"0123456789");
        run.sending.push(run.now(), Ticket(0), EntryKind::TEXT, payload).expect("there is place");
        run.oracle.accepted += 1;
        assert!(run.sending.peek(run.now(), 100, true).is_some());
        run.sending.sent(run.now(), &run.rtt);
        run.sending.acknowledge(run.now(), Sseq(run.oracle.accepted), Seq(1), &run.rtt, &mut run.events);
        run.collect();
    }
    assert_eq!(run.sending.spare.len(), 1);
}
