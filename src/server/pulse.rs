//! Owns the sign of life: a call at intervals, made by a turn of the loop and
//! by nothing else, so that it stays out when the loop is stuck.

use crate::Time;
use std::time::Duration;

/// What is called, and when next.
pub(super) struct Pulse {
    every: Duration,
    due: Time,
    beat: Box<dyn FnMut() + Send>,
}

impl Pulse {
    pub(super) fn new(every: Duration, now: Time, beat: impl FnMut() + Send + 'static) -> Self {
        Self { every, due: now + every, beat: Box::new(beat) }
    }

    /// The loop wakes by then, though nothing else happens.
    pub(super) fn due(&self) -> Time {
        self.due
    }

    /// Beats if it is time to: a comparison in every other turn.
    pub(super) fn turn(&mut self, now: Time) {
        if self.due <= now {
            self.due = now + self.every;
            (self.beat)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn it_beats_once_an_interval_however_many_turns_there_are() {
        let (beats, heard) = mpsc::channel();
        let at = |ms: u64| Time::new(ms * 1_000_000, 0);
        let mut pulse = Pulse::new(Duration::from_millis(100), at(0), move || beats.send(()).unwrap());
        for ms in 0..1000 {
            pulse.turn(at(ms));
        }
        assert_eq!((heard.try_iter().count(), pulse.due()), (9, at(1000)));
        pulse.turn(at(5000));
        assert_eq!((heard.try_iter().count(), pulse.due()), (1, at(5100)));
    }
}
