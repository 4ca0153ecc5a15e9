//! Owns the gap register of one room: which numbers are missing, when each is
//! asked for, which are gone for good. Knows numbers only: what came is kept
//! by `receiving.rs`.

use crate::Time;
use crate::wire::id::Seq;
use crate::wire::uplink::SeqRange;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Least time between two requests for the same numbers.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(20);
/// Requests at that pace; later ones are each half as long again after the last.
const ASKS_AT_PACE: u32 = 8;
/// Longest time between two requests.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(1);
/// A range longer than this is answered in many datagrams: while they come it is not asked for again.
const STREAMED_MIN: u64 = 64;
/// From so many ranges on, what is newly missing at the end joins the last one.
const RANGES_APART_MAX: usize = 64;

/// Some numbers in a row that are missing.
#[derive(Clone, Copy, Debug)]
struct Missing {
    first: u64,
    last: u64,
    found: Time,
    /// Times that it was asked for.
    asked: u32,
    due: Time,
}

/// Ranges that are gone and wait for what is before them; others stay missing, and
/// are told to be gone when they are asked for again.
const GONE_MAX: usize = 1024;

/// What became of a number that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    New,
    /// It came before, or was declared gone.
    Known,
}

/// The register. Every number from `next` to `newest` is missing, gone, or
/// there and waiting for one that is missing before it.
///
/// Memory: 16 bytes a range that is gone, at most 1024 of them, and 48 a range that is
/// missing: at most as many as are gone, as entries are held, and 65 more.
#[derive(Debug)]
pub(super) struct Gaps {
    next: u64,
    newest: u64,
    missing: VecDeque<Missing>,
    gone: VecDeque<(u64, u64)>,
    /// Not after the first range falls due.
    due: Option<Time>,
    lost: u32,
}

impl Gaps {
    /// Everything from `next` to `head` is missing and asked for at once: history, not loss.
    pub(super) fn new(next: u64, head: u64, now: Time) -> Self {
        let next = next.max(1);
        let newest = head.max(next - 1);
        let mut gaps =
            Self { next, newest: next - 1, missing: VecDeque::new(), gone: VecDeque::new(), due: None, lost: 0 };
        gaps.add_missing(newest, now, Duration::ZERO);
        gaps.newest = newest;
        gaps
    }

    /// The number that is delivered next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The newest number that is known to exist.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// Numbers first seen missing, wrapping.
    pub(super) fn lost(&self) -> u32 {
        self.lost
    }

    /// The count of lost numbers begins anew.
    pub(super) fn forget_lost(&mut self) {
        self.lost = 0;
    }

    /// When the oldest gap was found, if there is one.
    pub(super) fn oldest_found(&self) -> Option<Time> {
        self.missing.front().map(|missing| missing.found)
    }

    /// When [`take_due`](Self::take_due) is worth a call.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Numbers up to `head` exist; those not known of are missing, and asked for after `wait`.
    pub(super) fn raise(&mut self, head: u64, now: Time, wait: Duration) {
        if head > self.newest {
            self.count_lost(head - self.newest);
            self.add_missing(head, now, wait);
            self.newest = head;
        }
    }

    /// Number `seq` came. A gap before it is asked for after `wait`; `pace`
    /// is the time between two requests.
    pub(super) fn arrive(&mut self, seq: u64, now: Time, wait: Duration, pace: Duration) -> Arrival {
        if seq > self.newest {
            self.raise(seq - 1, now, wait);
            self.newest = seq;
            return Arrival::New;
        }
        let Some(at) = self.find(seq) else { return Arrival::Known };
        self.cut(at, seq..=seq);
        self.put_off(at, now, pace);
        Arrival::New
    }

    /// Numbers `from` to `to` will never come. Those that came stay. The wrong
    /// way round, they are none.
    pub(super) fn declare_gone(&mut self, from: u64, to: u64, now: Time, wait: Duration) {
        let from = from.max(self.next);
        if from > to {
            return;
        }
        if to > self.newest {
            self.raise(from - 1, now, wait);
            match self.add_gone(self.newest + 1, to) {
                true => self.newest = to,
                false => self.raise(to, now, wait),
            }
        }
        let mut at = self.missing.partition_point(|missing| missing.last < from);
        while let Some(missing) = self.missing.get(at).copied()
            && missing.first <= to
        {
            let (first, last) = (missing.first.max(from), missing.last.min(to));
            at = if self.add_gone(first, last) { self.cut(at, first..=last) } else { at + 1 };
        }
    }

    /// The next numbers, if they are gone: they are not waited for any more.
    pub(super) fn skip_gone(&mut self) -> Option<RangeInclusive<u64>> {
        let from = self.next;
        while let Some(&(first, last)) = self.gone.front()
            && first == self.next
        {
            self.gone.pop_front();
            self.next = last + 1;
        }
        (self.next > from).then(|| from..=self.next - 1)
    }

    /// The next number is delivered.
    pub(super) fn deliver(&mut self) {
        self.next += 1;
        debug_assert!(self.next <= self.newest + 1 && self.missing.front().is_none_or(|gap| gap.first >= self.next));
    }

    /// Fills `asks` with ranges that are due, says how many, and sets when each is due again.
    pub(super) fn take_due(&mut self, now: Time, pace: Duration, asks: &mut [SeqRange]) -> usize {
        let mut count = 0;
        for missing in &mut self.missing {
            if count < asks.len() && missing.due <= now {
                let numbers = missing.last - missing.first + 1;
                let numbers = u16::try_from(numbers).unwrap_or(u16::MAX);
                asks[count] = SeqRange { start: Seq(missing.first), count: numbers };
                count += 1;
                missing.asked = missing.asked.saturating_add(1);
                missing.due = now + wait_after(missing.asked, pace);
            }
        }
        self.due = self.missing.iter().map(|missing| missing.due).min();
        count
    }

    /// Nothing is asked for before `until`.
    pub(super) fn pause(&mut self, until: Time) {
        self.missing.iter_mut().for_each(|missing| missing.due = missing.due.max(until));
    }

    fn count_lost(&mut self, numbers: u64) {
        // It wraps on the wire.
        self.lost = self.lost.wrapping_add(numbers as u32);
    }

    /// Numbers after `newest` up to `last` are missing.
    fn add_missing(&mut self, last: u64, now: Time, wait: Duration) {
        let (newest, apart, due) = (self.newest, self.missing.len() < RANGES_APART_MAX, now + wait);
        match self.missing.back_mut() {
            _ if last <= newest => return,
            Some(end) if end.last == newest && (end.asked == 0 || !apart) => end.last = last,
            _ => self.missing.push_back(Missing { first: newest + 1, last, found: now, asked: 0, due }),
        }
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// False: there is no place for them. There always is for those that are next.
    fn add_gone(&mut self, first: u64, last: u64) -> bool {
        let at = self.gone.partition_point(|gone| gone.0 < first);
        if let Some(before) = at.checked_sub(1).and_then(|before| self.gone.get_mut(before))
            && before.1 + 1 == first
        {
            before.1 = last;
            return true;
        }
        let fits = self.gone.len() < GONE_MAX || first == self.next;
        if fits {
            self.gone.insert(at, (first, last));
        }
        fits
    }

    /// Where the range with `seq` in it stands.
    fn find(&self, seq: u64) -> Option<usize> {
        let at = self.missing.partition_point(|missing| missing.last < seq);
        self.missing.get(at).is_some_and(|missing| missing.first <= seq).then_some(at)
    }

    /// Takes numbers out of the range at `at`, and says where the range after them stands.
    fn cut(&mut self, at: usize, numbers: RangeInclusive<u64>) -> usize {
        let whole = self.missing[at];
        let (first, last) = (*numbers.start(), *numbers.end());
        match (whole.first < first, last < whole.last) {
            (false, false) => {
                self.missing.remove(at);
                at
            }
            (false, true) => {
                self.missing[at].first = last + 1;
                at
            }
            (true, false) => {
                self.missing[at].last = first - 1;
                at + 1
            }
            (true, true) => {
                self.missing[at].last = first - 1;
                self.missing.insert(at + 1, Missing { first: last + 1, ..whole });
                at + 1
            }
        }
    }

    /// The long range at `at` is being answered: what is left of it has a round trip's time.
    fn put_off(&mut self, at: usize, now: Time, pace: Duration) {
        if let Some(rest) = self.missing.get_mut(at)
            && rest.asked > 0
            && rest.last - rest.first >= STREAMED_MIN
        {
            rest.asked = 1;
            rest.due = now + wait_after(1, pace);
            // After many requests, that is earlier than it was.
            self.due = self.due.min(Some(rest.due));
        }
    }
}

/// How long after the request number `asked` the next one is sent: 1.5 round
/// trips (`pace`), from the ninth on half as long again each time.
fn wait_after(asked: u32, pace: Duration) -> Duration {
    let pace = pace.max(ASK_AGAIN_MIN);
    let longer = asked.saturating_sub(ASKS_AT_PACE).min(16);
    let wait = (0..longer).fold(pace, |wait, _| wait + wait / 2);
    wait.min(ASK_AGAIN_MAX.max(pace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const WAIT: Duration = Duration::from_millis(7);
    const PACE: Duration = Duration::from_millis(60);

    fn ms(ms: u64) -> Time {
        Time::new(ms * 1_000_000, 0)
    }

    fn asked(gaps: &mut Gaps, now: Time) -> Vec<(u64, u16)> {
        let mut asks = [SeqRange::default(); 16];
        let count = gaps.take_due(now, PACE, &mut asks);
        asks[..count].iter().map(|ask| (ask.start.0, ask.count)).collect()
    }

    #[test]
    fn a_hole_is_asked_for_after_its_wait_and_then_at_its_pace() {
        let mut gaps = Gaps::new(1, 0, ms(0));
        gaps.arrive(4, ms(0), WAIT, PACE);
        assert_eq!((gaps.due(), gaps.lost()), (Some(ms(7)), 3));
        assert_eq!(asked(&mut gaps, ms(6)), []);
        let mut times = Vec::new();
        while times.len() < 14 {
            let due = gaps.due().unwrap();
            assert_eq!(asked(&mut gaps, due), [(1, 3)]);
            times.push(due.nanos() / 1_000_000);
        }
        let apart: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(apart, [60, 60, 60, 60, 60, 60, 60, 60, 90, 135, 202, 304, 455]);
        assert_eq!(wait_after(40, PACE), ASK_AGAIN_MAX);
        assert_eq!(wait_after(1, Duration::ZERO), ASK_AGAIN_MIN);
        assert_eq!(wait_after(40, Duration::from_secs(3)), Duration::from_secs(3));
    }

    /// A relay that says of every second number that it is gone, above the newest or below it.
    #[test]
    fn gaps_without_end_take_no_memory_without_end() {
        for head in [0, 2_000_000] {
            let mut gaps = Gaps::new(1, head, ms(0));
            for seq in (2..=2_000_000).step_by(2) {
                gaps.declare_gone(seq, seq, ms(1), WAIT);
                assert_eq!(gaps.skip_gone(), None);
            }
            assert_eq!(gaps.newest(), 2_000_000);
            assert!(gaps.gone.len() <= GONE_MAX && gaps.missing.len() <= GONE_MAX + RANGES_APART_MAX + 1);
            // What found no place is not lost: it can be told again.
            assert!(gaps.find(1_999_999).is_some() && gaps.find(2_000_000).is_some());
            gaps.declare_gone(1, 2_000_000, ms(2), WAIT);
            assert_eq!(gaps.skip_gone(), Some(1..=2_000_000));
            assert!(gaps.missing.is_empty() && gaps.gone.is_empty());
        }
    }

    #[test]
    fn history_is_asked_for_at_once_and_is_no_loss() {
        let mut gaps = Gaps::new(51, 100, ms(3));
        assert_eq!((gaps.due(), gaps.lost(), gaps.newest()), (Some(ms(3)), 0, 100));
        assert_eq!(asked(&mut gaps, ms(3)), [(51, 50)]);
    }

    #[test]
    fn a_long_range_that_is_being_answered_is_not_asked_for_again() {
        let mut gaps = Gaps::new(1, 1000, ms(0));
        assert_eq!(asked(&mut gaps, ms(0)), [(1, 1000)]);
        gaps.arrive(1, ms(50), WAIT, PACE);
        assert_eq!(asked(&mut gaps, ms(109)), []);
        assert_eq!(asked(&mut gaps, ms(110)), [(2, 999)]);
    }

    #[test]
    fn more_than_sixteen_holes_take_more_than_one_request() {
        let mut gaps = Gaps::new(1, 0, ms(0));
        (1..=20).for_each(|n| assert_eq!(gaps.arrive(2 * n, ms(0), WAIT, PACE), Arrival::New));
        assert_eq!(asked(&mut gaps, ms(7)).len(), 16);
        assert_eq!(gaps.due(), Some(ms(7)));
        assert_eq!(asked(&mut gaps, ms(7)), [(33, 1), (35, 1), (37, 1), (39, 1)]);
        assert_eq!(gaps.due(), Some(ms(67)));
    }

    #[test]
    fn a_pause_puts_all_requests_off() {
        let mut gaps = Gaps::new(1, 5, ms(0));
        gaps.pause(ms(500));
        assert_eq!(asked(&mut gaps, ms(499)), []);
        assert_eq!(asked(&mut gaps, ms(500)), [(1, 5)]);
    }

    #[test]
    fn what_has_come_stays_when_the_numbers_around_it_are_gone() {
        let mut gaps = Gaps::new(1, 0, ms(0));
        gaps.arrive(3, ms(0), WAIT, PACE);
        gaps.declare_gone(1, 6, ms(0), WAIT);
        assert_eq!(gaps.skip_gone(), Some(1..=2));
        gaps.deliver();
        assert_eq!(gaps.skip_gone(), Some(4..=6));
        assert_eq!((gaps.next(), gaps.newest(), gaps.due.is_some()), (7, 6, true));
        assert_eq!(asked(&mut gaps, ms(100)), []);
        assert_eq!(gaps.due(), None);
    }

    #[test]
    fn a_range_the_wrong_way_round_is_nothing() {
        let mut gaps = Gaps::new(1, 8, ms(0));
        gaps.declare_gone(7, 4, ms(0), WAIT);
        assert_eq!((asked(&mut gaps, ms(0)), gaps.skip_gone()), (vec![(1, 8)], None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(u64),
        Raise(u64),
        Gone(u64, u64),
        Ask(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (1u64..200).prop_map(Step::Arrive),
            1 => (1u64..200).prop_map(Step::Raise),
            1 => (1u64..200, 0u64..30).prop_map(|(from, more)| Step::Gone(from, from + more)),
            2 => (0u64..300).prop_map(Step::Ask),
        ]
    }

    /// The register as sets of numbers.
    #[derive(Default)]
    struct Oracle {
        missing: BTreeSet<u64>,
        gone: BTreeSet<u64>,
        here: BTreeSet<u64>,
        newest: u64,
        lost: u32,
    }

    impl Oracle {
        fn raise(&mut self, head: u64) {
            for seq in self.newest + 1..=head {
                self.missing.insert(seq);
                self.lost += 1;
            }
            self.newest = self.newest.max(head);
        }

        fn arrive(&mut self, seq: u64) -> Arrival {
            self.raise(seq - 1);
            let new = seq > self.newest || self.missing.remove(&seq);
            self.newest = self.newest.max(seq);
            if new {
                self.here.insert(seq);
            }
            if new { Arrival::New } else { Arrival::Known }
        }

        fn declare_gone(&mut self, from: u64, to: u64, next: u64) {
            for seq in from.max(next)..=to {
                if seq > self.newest || self.missing.remove(&seq) {
                    self.gone.insert(seq);
                }
            }
            // Numbers between the newest and what is gone: the register takes them as not yet known.
            if to > self.newest {
                (self.newest + 1..from.max(next)).for_each(|seq| {
                    self.missing.insert(seq);
                    self.lost += 1;
                });
                self.newest = to;
            }
        }
    }

    proptest! {
        /// Against sets: the same numbers are missing, and each number is delivered or gone once, in order.
        #[test]
        fn the_register_agrees_with_sets(
            history in 0u64..50,
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let mut gaps = Gaps::new(1, history, ms(0));
            let mut oracle = Oracle { missing: (1..=history).collect(), newest: history, ..Oracle::default() };
            let (mut now, mut out) = (0, Vec::new());
            for step in steps {
                match step {
                    Step::Arrive(seq) => {
                        prop_assert_eq!(gaps.arrive(seq, ms(now), WAIT, PACE), oracle.arrive(seq));
                    }
                    Step::Raise(head) => {
                        gaps.raise(head, ms(now), WAIT);
                        oracle.raise(head);
                    }
                    Step::Gone(from, to) => {
                        oracle.declare_gone(from, to, gaps.next());
                        gaps.declare_gone(from, to, ms(now), WAIT);
                    }
                    Step::Ask(later) => {
                        now += later;
                        for (start, count) in asked(&mut gaps, ms(now)) {
                            prop_assert!((start..start + u64::from(count)).all(|seq| oracle.missing.contains(&seq)));
                        }
                    }
                }
                loop {
                    if let Some(range) = gaps.skip_gone() {
                        prop_assert!(range.clone().all(|seq| oracle.gone.contains(&seq)));
                        out.extend(range);
                    } else if gaps.next() <= gaps.newest() && oracle.here.contains(&gaps.next()) {
                        out.push(gaps.next());
                        gaps.deliver();
                    } else {
                        break;
                    }
                }
                let missing: Vec<u64> = gaps.missing.iter().flat_map(|gap| gap.first..=gap.last).collect();
                prop_assert_eq!(missing, oracle.missing.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!((gaps.newest(), gaps.lost()), (oracle.newest, oracle.lost));
                prop_assert!(gaps.missing.iter().all(|gap| gaps.due().is_some_and(|due| due <= gap.due)));
                prop_assert_eq!(out.clone(), (1..gaps.next()).collect::<Vec<_>>());
            }
        }
    }
}
