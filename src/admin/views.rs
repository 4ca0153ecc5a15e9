//! Owns what was seen last, and for how long that is good enough: however
//! many ask, the loop is asked 20 times a second at most, and the directory is
//! listed for a twentieth of the time at most. Never holds a lock of either
//! while it sorts.

use crate::directory::{Directory, Member};
use crate::relay::{RoomView, SlowView};
use crate::server::{Handle, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// How long the loop may take for an answer before it counts as stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long the counters are good for.
const REPORT_LIFE: Duration = Duration::from_millis(50);
/// How long a list is good for: at least this, and so many times what it took.
const LIST_LIFE: Duration = Duration::from_secs(1);
const LIST_REST: u32 = 20;
/// When a list that nobody asks for gives its memory back.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// Talkers that are kept.
pub(super) const TALKERS_MAX: usize = 1000;

/// What was seen last; `None`: there was no answer.
struct Seen<T> {
    until: Instant,
    what: Option<Arc<T>>,
}

/// Something that is looked at by one at a time, and seldom.
struct Kept<T>(Mutex<Option<Seen<T>>>);

impl<T: Send + Sync + 'static> Kept<T> {
    fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What was seen last, if that is fresh; else what `look` sees.
    async fn fresh(&self, life: Duration, look: impl FnOnce() -> Option<T> + Send + 'static) -> Option<Arc<T>> {
        let mut kept = self.0.lock().await;
        if let Some(seen) = kept.as_ref().filter(|seen| Instant::now() < seen.until) {
            return seen.what.clone();
        }
        let began = Instant::now();
        let what = spawn_blocking(look).await.ok().flatten().map(Arc::new);
        let rest = if life < LIST_LIFE { life } else { life.max(began.elapsed() * LIST_REST) };
        *kept = Some(Seen { until: Instant::now() + rest, what: what.clone() });
        what
    }

    fn forget_old(&self) {
        if let Ok(mut kept) = self.0.try_lock() {
            kept.take_if(|seen| seen.until < Instant::now());
        }
    }
}

/// All that can be seen of the relay from here.
pub(super) struct Views {
    relay: Handle,
    directory: Arc<Directory>,
    report: Kept<Report>,
    rooms: Kept<Vec<RoomView>>,
    slow: Kept<Vec<SlowView>>,
    members: Kept<Vec<Member>>,
    talkers: Kept<Vec<Member>>,
}

impl Views {
    pub(super) fn new(relay: Handle, directory: Arc<Directory>) -> Self {
        let (report, rooms, slow) = (Kept::new(), Kept::new(), Kept::new());
        Self { relay, directory, report, rooms, slow, members: Kept::new(), talkers: Kept::new() }
    }

    /// Whether somebody new may be sent here.
    pub(super) fn is_ready(&self) -> bool {
        self.relay.is_ready()
    }

    /// What was counted; `None`: the loop does not answer.
    pub(super) async fn report(&self) -> Option<Arc<Report>> {
        let relay = self.relay.clone();
        self.report.fresh(REPORT_LIFE, move || relay.report_within(ANSWER_WITHIN)).await
    }

    /// All rooms, fetched some at a time: between them the loop does its work.
    pub(super) async fn rooms(&self) -> Option<Arc<Vec<RoomView>>> {
        let relay = self.relay.clone();
        self.rooms.fresh(LIST_LIFE, move || all_rooms(&relay)).await
    }

    /// Members that are too slow.
    pub(super) async fn slow(&self) -> Option<Arc<Vec<SlowView>>> {
        let relay = self.relay.clone();
        self.slow.fresh(LIST_LIFE, move || relay.slow_within(ANSWER_WITHIN)).await
    }

    /// Everyone, longest here first.
    pub(super) async fn members(&self) -> Option<Arc<Vec<Member>>> {
        let directory = Arc::clone(&self.directory);
        self.members.fresh(LIST_LIFE, move || Some(directory.members())).await
    }

    /// Those that have said most, at most [`TALKERS_MAX`].
    pub(super) async fn talkers(&self) -> Option<Arc<Vec<Member>>> {
        let directory = Arc::clone(&self.directory);
        self.talkers.fresh(LIST_LIFE, move || Some(most_lines(directory.members()))).await
    }

    /// How many are here now.
    pub(super) fn member_count(&self) -> usize {
        self.directory.len()
    }

    /// Gives back the memory of lists that nobody asks for.
    pub(super) async fn forget(&self) {
        loop {
            sleep(FORGET_EVERY).await;
            self.members.forget_old();
            self.talkers.forget_old();
            self.rooms.forget_old();
        }
    }
}

fn all_rooms(relay: &Handle) -> Option<Vec<RoomView>> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(place) = from {
        let (some, next) = relay.rooms_within(ANSWER_WITHIN, place)?;
        all.extend(some);
        from = next;
    }
    Some(all)
}

fn most_lines(mut members: Vec<Member>) -> Vec<Member> {
    let most_first = |member: &Member| std::cmp::Reverse((member.lines, member.bytes));
    if members.len() > TALKERS_MAX {
        members.select_nth_unstable_by_key(TALKERS_MAX, most_first);
        members.truncate(TALKERS_MAX);
        members.shrink_to_fit();
    }
    members.sort_by_key(most_first);
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn however_many_ask_one_looks() {
        let looks = Arc::new(AtomicU64::new(0));
        let kept = Kept::new();
        runtime().block_on(async {
            for _ in 0..100 {
                let looks = Arc::clone(&looks);
                let seen = kept.fresh(Duration::from_secs(60), move || Some(looks.fetch_add(1, Ordering::Relaxed)));
                assert_eq!(seen.await.as_deref(), Some(&0));
            }
        });
        assert_eq!(looks.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_loop_that_does_not_answer_is_not_asked_again_at_once() {
        let kept: Kept<u64> = Kept::new();
        runtime().block_on(async {
            assert_eq!(kept.fresh(Duration::from_secs(60), || None).await, None);
            assert_eq!(kept.fresh(Duration::from_secs(60), || panic!("asked again")).await, None);
        });
    }

    #[test]
    fn the_talkers_are_those_with_most_lines() {
        let member = |number: u64| Member {
            remote: ([127, 0, 0, 1], 1).into(),
            name: "x".into(),
            native: false,
            muted: false,
            since_unix_s: 0,
            lines: number * 7919 % 5000,
            bytes: 0,
        };
        let talkers = most_lines((0..5000).map(member).collect());
        let lines: Vec<_> = talkers.iter().map(|talker| talker.lines).collect();
        assert_eq!(lines, (4000..5000).rev().collect::<Vec<_>>());
    }
}
