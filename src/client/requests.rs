//! Owns what was asked of the relay and not yet answered: JOIN, LEAVE, NICK,
//! WHO, LIST. Each is repeated with its number until its answer comes. Never
//! knows what an answer means.

use super::event::{RequestId, RoomId};
use super::options::{REQUESTS_MAX, Unfit};
use super::rtt::Rtt;
use crate::Time;
use crate::wire::id::{MemberId, Req, RoomHandle};
use std::time::Duration;

/// After so long NICK, WHO and LIST are given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Join(RoomId),
    /// `None`: a room that the relay wrongly has the client in.
    Leave(Option<RoomId>, RoomHandle),
    Nick(String),
    Who {
        room: RoomId,
        cursor: u32,
        whom: Whom,
    },
    List {
        cursor: u32,
    },
}

/// Who is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everyone, for the program.
    All,
    /// Everyone, to know their names.
    Names,
    /// One, to know its name.
    One(MemberId),
}

/// A question on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) req: Req,
    pub(super) ask: Ask,
    asked_at: Time,
    sent_at: Time,
    /// Times that it was sent.
    sent: u32,
    due: Time,
}

impl Request {
    /// The room that must be joined before it can be asked.
    fn waits_for(&self) -> Option<RoomId> {
        match self.ask {
            Ask::Who { room, .. } => Some(room),
            _ => None,
        }
    }
}

/// All open questions.
#[derive(Debug)]
pub(super) struct Requests {
    open: Vec<Request>,
    next_req: u16,
    next_id: u64,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), next_req: 1, next_id: 1 }
    }

    /// Asks, as soon as there is a session.
    pub(super) fn ask(&mut self, now: Time, ask: Ask) -> Result<RequestId, Unfit> {
        if self.open.len() >= REQUESTS_MAX {
            return Err(Unfit::Full);
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.ask_as(now, id, ask);
        Ok(id)
    }

    /// Asks for the next part of what was asked as `id`.
    pub(super) fn ask_as(&mut self, now: Time, id: RequestId, ask: Ask) {
        let req = Req(self.next_req);
        self.next_req = self.next_req.wrapping_add(1);
        self.open.push(Request { id, req, ask, asked_at: now, sent_at: now, sent: 0, due: now });
    }

    /// Asks again after `wait` what was just answered with "not now".
    pub(super) fn ask_later(&mut self, now: Time, request: Request, wait: Duration) {
        self.ask_as(now, request.id, request.ask);
        if let Some(last) = self.open.last_mut() {
            last.due = now + wait;
        }
    }

    /// Whether something of this kind is open.
    pub(super) fn any(&self, which: impl Fn(&Ask) -> bool) -> bool {
        self.open.iter().any(|request| which(&request.ask))
    }

    /// The question that must be asked now, if there is one.
    pub(super) fn peek(&self, now: Time, is_joined: impl Fn(RoomId) -> bool) -> Option<&Request> {
        self.open.iter().find(|request| request.due <= now && request.waits_for().is_none_or(&is_joined))
    }

    /// The question was asked.
    pub(super) fn sent(&mut self, now: Time, req: Req, rtt: &Rtt) {
        if let Some(request) = self.open.iter_mut().find(|request| request.req == req) {
            request.due = now + rtt.timeout(request.sent);
            request.sent += 1;
            request.sent_at = now;
        }
    }

    /// An answer has come to a question that is so; `None`: nobody asked that, or it came before.
    pub(super) fn answered(
        &mut self,
        now: Time,
        req: Req,
        is_so: impl Fn(&Ask) -> bool,
        rtt: &mut Rtt,
    ) -> Option<Request> {
        let at = self.open.iter().position(|request| request.req == req && is_so(&request.ask))?;
        let request = self.open.remove(at);
        if request.sent == 1 {
            rtt.sample(now.since(request.sent_at));
        }
        Some(request)
    }

    /// Takes out what is true for `which`.
    pub(super) fn take(&mut self, which: impl Fn(&Ask) -> bool) -> Option<Request> {
        let at = self.open.iter().position(|request| which(&request.ask))?;
        Some(self.open.remove(at))
    }

    /// Takes out what is given up by now.
    pub(super) fn take_expired(&mut self, now: Time) -> Option<Request> {
        let is_over =
            |request: &Request| can_be_given_up(&request.ask) && now.since(request.asked_at) >= GIVEN_UP_AFTER;
        let at = self.open.iter().position(is_over)?;
        Some(self.open.remove(at))
    }

    /// There is a new session: what is still open is asked there.
    pub(super) fn ask_all_again(&mut self, now: Time) {
        self.open.iter_mut().for_each(|request| (request.due, request.sent) = (now, 0));
    }

    /// When something must be asked, or is given up.
    pub(super) fn due(&self, has_session: bool, is_joined: impl Fn(RoomId) -> bool) -> Option<Time> {
        let asks = self.open.iter().filter(|request| has_session && request.waits_for().is_none_or(&is_joined));
        let ends = self.open.iter().filter(|request| can_be_given_up(&request.ask));
        asks.map(|request| request.due).chain(ends.map(|request| request.asked_at + GIVEN_UP_AFTER)).min()
    }
}

fn can_be_given_up(ask: &Ask) -> bool {
    !matches!(ask, Ask::Join(_) | Ask::Leave(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Time {
        Time::new(ms * 1_000_000, 0)
    }

    #[test]
    fn a_question_keeps_its_number_and_is_repeated_at_the_timeout() {
        let (mut requests, mut rtt) = (Requests::new(), Rtt::default());
        requests.ask(ms(0), Ask::List { cursor: 0 }).unwrap();
        let mut times = Vec::new();
        for at in (0..9000).step_by(100) {
            if let Some(req) = requests.peek(ms(at), |_| true).map(|request| request.req) {
                assert_eq!(req, Req(1));
                requests.sent(ms(at), req, &rtt);
                times.push(at);
            }
        }
        assert_eq!(times, [0, 1000, 3000, 7000]);
        let mut answered = |is_so: fn(&Ask) -> bool| requests.answered(ms(9000), Req(1), is_so, &mut rtt).is_some();
        let is_list = |ask: &Ask| matches!(ask, Ask::List { .. });
        assert_eq!([answered(|_| false), answered(is_list), answered(is_list)], [false, true, false]);
        assert_eq!(rtt.timeout(0), Duration::from_secs(1), "no sample of what was sent more than once");
    }

    #[test]
    fn a_question_about_a_room_waits_until_it_is_joined() {
        let mut requests = Requests::new();
        requests.ask(ms(0), Ask::Who { room: RoomId(1), cursor: 0, whom: Whom::All }).unwrap();
        assert!(requests.peek(ms(0), |_| false).is_none());
        assert_eq!(requests.due(true, |_| false), Some(ms(30_000)));
        assert_eq!(requests.due(true, |_| true), Some(ms(0)));
        assert!(requests.take_expired(ms(29_999)).is_none());
        assert!(requests.take_expired(ms(30_000)).is_some());
    }

    #[test]
    fn a_join_is_never_given_up_and_there_is_a_limit() {
        let mut requests = Requests::new();
        for _ in 0..REQUESTS_MAX {
            requests.ask(ms(0), Ask::Join(RoomId(1))).unwrap();
        }
        assert_eq!(requests.ask(ms(0), Ask::List { cursor: 0 }), Err(Unfit::Full));
        assert!(requests.take_expired(ms(1_000_000)).is_none());
    }
}
