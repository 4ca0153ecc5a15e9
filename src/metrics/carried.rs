//! What was counted, as numbers that another process goes on from. Whoever
//! adds a count is told by the compiler that it is to be carried, too.

use super::{Counters, Distribution, Histograms, NativeCounters};

/// What a distribution has counted: each value and how often, each bucket, and all values added up.
pub(crate) type Counted = (Vec<(u64, u64)>, Vec<u64>, u64);

/// More than any value was ever counted.
const COUNTED_MAX: u64 = 1 << 56;

impl Counters {
    /// Every count, in an order that only changes with what is handed over.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.clone().each().map(|count| *count).collect()
    }

    /// Sets every count; `None`: there are not so many.
    pub(crate) fn set_numbers(&mut self, numbers: &[u64]) -> Option<()> {
        let mut left = numbers.iter();
        self.each().try_for_each(|count| left.next().map(|number| *count = *number))?;
        left.next().is_none().then_some(())
    }

    /// Whoever adds a count is told here that it is to be handed over.
    fn each(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            datagrams_in,
            relayed,
            control,
            dropped,
            joined,
            left,
            notices_told,
            notices_merged,
            notices_suppressed,
            answers,
            native,
        } = self;
        let own = [datagrams_in, relayed, control, joined, notices_told, notices_merged, notices_suppressed, answers];
        own.into_iter().chain(&mut dropped.0).chain(&mut left.0).chain(native.each())
    }
}

impl NativeCounters {
    fn each(&mut self) -> impl Iterator<Item = &mut u64> {
        let Self {
            datagrams_in,
            relayed,
            sessions_begun,
            sessions_ended,
            sessions_moved,
            messages_in,
            messages_accepted,
            messages_void,
            messages_duplicate,
            messages_early,
            messages_refused,
            messages_slowed,
            acks,
            heads,
            casts_dropped,
            nacks,
            repairs,
            entries_repaired,
            repairs_dropped,
            gaps,
            reports,
            demoted,
            promoted,
            directs,
            presence_suppressed,
            frames_over_rate,
            frames_unproven,
            frames_no_room,
            answers,
            answers_dropped,
            rooms_opened,
            rooms_ended,
        } = self;
        let all = [
            datagrams_in,
            relayed,
            sessions_begun,
            sessions_ended,
            sessions_moved,
            messages_in,
            messages_accepted,
            messages_void,
            messages_duplicate,
            messages_early,
            messages_refused,
            messages_slowed,
            acks,
            heads,
            casts_dropped,
            nacks,
            repairs,
            entries_repaired,
            repairs_dropped,
            gaps,
            reports,
            demoted,
            promoted,
            directs,
            presence_suppressed,
            frames_over_rate,
            frames_unproven,
            frames_no_room,
            answers,
            answers_dropped,
            rooms_opened,
            rooms_ended,
        ];
        all.into_iter()
    }
}

impl Distribution {
    /// All that it has counted.
    pub(crate) fn counted(&self) -> Counted {
        let values = self.histogram.iter_recorded();
        let values = values.map(|at| (at.value_iterated_to(), at.count_at_value())).collect();
        (values, self.buckets.counts().to_vec(), self.sum)
    }

    /// Goes on counting from there; `None`: that is of another distribution. Nothing is counted yet.
    pub(crate) fn resume(mut self, (values, counts, sum): &Counted) -> Option<Self> {
        for &(value, times) in values {
            let value = value.clamp(1, self.histogram.high());
            self.histogram.record_n(value, times).ok()?;
        }
        let places = self.buckets.counts.get_mut(..=self.buckets.bounds.len())?;
        let is_same = places.len() == counts.len() && values.iter().all(|&(_, times)| times < COUNTED_MAX);
        is_same.then(|| places.copy_from_slice(counts))?;
        self.sum = *sum;
        Some(self)
    }
}

impl Histograms {
    /// All that they have counted.
    pub(crate) fn counted(&self) -> [Counted; 3] {
        [&self.turn_messages, &self.train_messages, &self.sojourn_ns].map(Distribution::counted)
    }

    /// Histograms that go on counting from there; `None`: those are others.
    pub(crate) fn resume([turn, train, sojourn]: &[Counted; 3]) -> Option<Self> {
        let Self { turn_messages, train_messages, sojourn_ns } = Self::default();
        Some(Self {
            turn_messages: turn_messages.resume(turn)?,
            train_messages: train_messages.resume(train)?,
            sojourn_ns: sojourn_ns.resume(sojourn)?,
        })
    }
}
