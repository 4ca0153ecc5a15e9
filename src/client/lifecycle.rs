//! Owns how sessions begin, end and follow one another, and what each code
//! means for that. Never looks into a room's entries.

use super::event::{BESIDE, End, Event, Lost, RoomId};
use super::handshake::{Handshake, Outcome};
use super::requests::Ask;
use super::sending::Resume;
use super::session::Session;
use super::{Client, Code};
use crate::Time;
use crate::wire::handshake::{OtherVersion, Refuse, Welcome};
use crate::wire::id::{Epoch, PacketNumber, Scid};
use std::time::Duration;

/// When a relay ends or loses many sessions at once, they do not all come back at once.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);
/// The same after a NOSESSION.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// When a full relay does not say when to ask again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// When CLOSE is sent, since the end: it is never answered.
const CLOSE_AT: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200)];

/// A session's end, until the relay was told often enough.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) scid: Scid,
    pub(super) pn: PacketNumber,
    began: Time,
    sent: usize,
}

impl Closing {
    pub(super) fn due(&self) -> Option<Time> {
        CLOSE_AT.get(self.sent).map(|after| self.began + *after)
    }

    pub(super) fn sent(&mut self) {
        self.sent += 1;
        self.pn = self.pn.next();
    }
}

/// What follows a code in CLOSE or REFUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// A new HELLO, at a random time soon.
    ComeBack,
    /// A new HELLO when the relay says.
    AskAgain,
    Stop,
}

fn follows(code: Code) -> Then {
    match code {
        Code::Idle | Code::Shutdown | Code::Unreachable => Then::ComeBack,
        Code::Full | Code::Rate | Code::Limit => Then::AskAgain,
        _ => Then::Stop,
    }
}

impl Client {
    // ---- answers to HELLO -----------------------------------------------------------------

    /// The session is there: everything goes on in it.
    pub(super) fn welcome(&mut self, now: Time, welcome: &Welcome) {
        if let Some(hello) = self.hello.take() {
            hello.measure(now, &mut self.rtt);
        }
        let resumed = self.epoch == Some(welcome.epoch);
        if !resumed {
            self.forget_epoch(welcome.epoch);
        }
        self.hello_at = None;
        self.session = Some(Session::new(welcome, now));
        self.counts.sessions += 1;
        self.events.push(Event::Connected { member: welcome.member, epoch: welcome.epoch, resumed });
        self.directs.resume(now, &mut self.events);
        self.rejoin(now);
    }

    /// Every member id, handle, tag, seq and dseq learnt so far is void.
    fn forget_epoch(&mut self, epoch: Epoch) {
        self.epoch = Some(epoch);
        self.rooms.iter_mut().for_each(super::room::Room::forget_epoch);
        self.directs.forget(&mut self.events);
    }

    /// Joins in a new session the rooms of the one before.
    fn rejoin(&mut self, now: Time) {
        self.rooms.iter_mut().for_each(|room| room.lose_place(Resume::NewSession));
        let leaving: Vec<RoomId> = self.rooms.iter().filter(|room| room.is_leaving).map(|room| room.id).collect();
        leaving.into_iter().for_each(|id| self.forget_room(id));
        while self.requests.take(|ask| matches!(ask, Ask::Join(_) | Ask::Leave(..))).is_some() {}
        while let Some(list) = self.requests.take(|ask| matches!(ask, Ask::Who { .. } | Ask::List { .. })) {
            self.list_failed(&list);
        }
        self.requests.ask_all_again(now);
        for at in 0..self.rooms.len() {
            self.ask_to_join(now, self.rooms[at].id);
        }
    }

    pub(super) fn ask_to_join(&mut self, now: Time, id: RoomId) {
        let is_asked = self.requests.any(|ask| matches!(ask, Ask::Join(room) if *room == id));
        if !is_asked {
            // Joins always find a place: they are asked without regard to the limit of the program's questions.
            self.requests.ask_as(now, super::RequestId(0), Ask::Join(id));
        }
    }

    pub(super) fn refused(&mut self, now: Time, refuse: &Refuse) {
        self.hello = None;
        let retry = match (follows(refuse.code), refuse.retry_ms) {
            (Then::Stop, _) => return self.end(End::Code(refuse.code), ""),
            (Then::ComeBack, _) => self.chance.span(Duration::ZERO, COME_BACK_WITHIN),
            (Then::AskAgain, 0) => ASK_AGAIN_AFTER,
            (Then::AskAgain, ms) => Duration::from_millis(ms.into()),
        };
        self.events.push(Event::Refused { code: refuse.code, retry });
        self.hello_at = Some(now + retry);
    }

    pub(super) fn other_version(&mut self, answer: &OtherVersion) {
        self.end(End::OtherVersion(answer.versions), "");
    }

    // ---- the end of a session ----------------------------------------------------------------

    /// The relay has closed the session. A HELLO under way is seen through, whatever it said.
    pub(super) fn closed_by_relay(&mut self, now: Time, code: Code, reason: &str) {
        self.drop_session();
        if self.hello.is_some() {
            return;
        }
        let wait = match follows(code) {
            _ if code == Code::Moved && !self.has_moved => {
                self.has_moved = true;
                self.events.add(Event::Moved { to: BESIDE }, reason, b"");
                self.chance.span(Duration::ZERO, COME_BACK_WITHIN)
            }
            Then::Stop => return self.end(End::Code(code), reason),
            Then::ComeBack => self.chance.span(Duration::ZERO, COME_BACK_WITHIN),
            Then::AskAgain => ASK_AGAIN_AFTER,
        };
        self.ask_for_session(now, wait, Lost::Closed(code));
    }

    /// The relay does not know the session, says somebody: a hint only.
    pub(super) fn session_unknown(&mut self, now: Time) {
        let wait = self.chance.span(Duration::ZERO, ASK_WITHIN);
        self.ask_for_session(now, wait, Lost::Unknown);
    }

    /// A new session is asked for after `wait`, unless that is under way; the old one goes on beside it.
    fn ask_for_session(&mut self, now: Time, wait: Duration, why: Lost) {
        if self.hello.is_none() && self.hello_at.is_none() {
            self.events.push(Event::Reconnecting { why });
            self.hello_at = Some(now + wait);
            self.begin_hello(now);
        }
    }

    fn begin_hello(&mut self, now: Time) {
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = None;
            self.hello = Some(Handshake::new(&mut self.chance, now, self.epoch.is_none()));
        }
    }

    fn drop_session(&mut self) {
        self.session = None;
        self.rooms.iter_mut().for_each(|room| room.lose_place(Resume::NewSession));
    }

    /// It is over: all that is open is given up.
    pub(super) fn end(&mut self, why: End, reason: &str) {
        self.drop_session();
        (self.hello, self.hello_at, self.is_over) = (None, None, true);
        self.rooms.iter_mut().for_each(|room| room.sending.end(&mut self.events));
        self.directs.end(&mut self.events);
        while let Some(request) = self.requests.take(|_| true) {
            self.request_failed(&request);
        }
        self.rooms.clear();
        self.events.add(Event::Closed { why, reason: BESIDE }, reason, b"");
    }

    pub(super) fn say_goodbye(&mut self, now: Time) {
        let close = |session: &Session| Closing { scid: session.scid, pn: session.pn, began: now, sent: 0 };
        self.closing = self.session.as_ref().map(close);
    }

    // ---- time -----------------------------------------------------------------------------

    pub(super) fn handle_timers(&mut self, now: Time) {
        self.begin_hello(now);
        let given_up = self.hello.as_mut().map(|hello| hello.handle_deadline(now, &mut self.chance));
        if given_up == Some(Outcome::GivenUp) {
            return self.end(End::NoAnswer, "");
        }
        self.directs.handle_deadline(now, &mut self.events);
        while let Some(request) = self.requests.take_expired(now) {
            self.request_failed(&request);
        }
        self.check_session(now);
    }

    fn check_session(&mut self, now: Time) {
        let Some(session) = &mut self.session else { return };
        for room in self.rooms.iter_mut().filter(|room| room.head_due().is_some_and(|due| due <= now)) {
            room.head_missed();
            session.want_ping(now);
        }
        if !session.handle_deadline(now) {
            session.stop_pinging(now);
            self.ask_for_session(now, Duration::ZERO, Lost::Silent);
        }
        let is_stuck = |room: &mut super::room::Room| room.is_joined() && !room.sending.handle_deadline(now);
        if self.rooms.iter_mut().map(is_stuck).fold(false, |any, is_stuck| any | is_stuck) {
            self.drop_session();
            self.ask_for_session(now, Duration::ZERO, Lost::Stuck);
        }
    }

    pub(super) fn earliest_timer(&self) -> Option<Time> {
        if self.is_over {
            return self.closing.as_ref().and_then(Closing::due);
        }
        let is_joined = |id| self.is_joined(id);
        let has_session = self.session.is_some();
        let rooms = self.rooms.iter().filter(|room| room.is_joined());
        let rooms = rooms.flat_map(|room| {
            [room.sending.due(), room.head_due(), room.receiving.as_ref().and_then(super::receiving::Receiving::due)]
        });
        let others = [
            self.hello_at,
            self.hello.as_ref().map(Handshake::due),
            self.session.as_ref().map(Session::due),
            self.requests.due(has_session, is_joined),
            self.directs.due(has_session),
        ];
        rooms.chain(others).flatten().min()
    }

    pub(super) fn is_joined(&self, id: RoomId) -> bool {
        self.find_room(id).is_some_and(|at| self.rooms[at].is_joined())
    }

    /// A room that was left, or was never entered, is forgotten.
    pub(super) fn forget_room(&mut self, id: RoomId) {
        self.rooms.retain(|room| room.id != id);
        self.events.push(Event::Left { room: id });
    }
}
