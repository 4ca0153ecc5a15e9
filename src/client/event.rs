//! Owns what the client tells its program, and the queue that it waits in.
//! Never decides anything.

use crate::wire::header::{Code, DirectStatus, EntryKind, RefusedCause, SlowCause};
use crate::wire::id::{Dseq, Epoch, MemberId, Seq, Sseq};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// A room as this client knows it: the same through reconnects and restarts of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub(super) u32);

/// A message or private message that was handed over; its outcome is told under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// A question about members or rooms, or a change of name; its answer is told under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

/// What happened. Texts and payloads are borrowed from the client, as long as
/// nothing else is done with it; [`into_owned`](Self::into_owned) copies them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// There is a session; rooms are joined next.
    Connected {
        /// Who this client is to the others.
        member: MemberId,
        /// The relay's state.
        epoch: Epoch,
        /// Whether it is the state of the session before. If not, all seqs begin anew.
        resumed: bool,
    },
    /// The relay does not want a session now, and says when to ask again; the client does.
    Refused {
        /// Why.
        code: Code,
        /// How long the client waits.
        retry: Duration,
    },
    /// The session is lost or in doubt; the client asks for a new one.
    Reconnecting {
        /// Why.
        why: Lost,
    },
    /// The relay has moved: whoever owns the socket turns to that address. Told once at most.
    Moved {
        /// As `host:port`.
        to: Cow<'a, str>,
    },
    /// It is over: nothing else will come or go.
    Closed {
        /// Why.
        why: End,
        /// The relay's words, if it had any.
        reason: Cow<'a, str>,
    },
    /// The client is in a room, for the first time or again.
    Joined {
        /// Which.
        room: RoomId,
        /// The client's name there.
        name: Cow<'a, str>,
        /// How many are there.
        members: u32,
        /// The first entry that will be told of, or be a [`Event::Gap`].
        first: Seq,
        /// The newest entry by now.
        head: Seq,
    },
    /// The relay does not let the client into a room; the room is forgotten.
    JoinFailed {
        /// Which.
        room: RoomId,
        /// Why.
        code: Code,
    },
    /// The client has left a room as it was told to; the room is forgotten.
    Left {
        /// Which.
        room: RoomId,
    },
    /// Somebody said something: others, or this client itself.
    Message(Message<'a>),
    /// Somebody came, went or has another name.
    Presence(Presence<'a>),
    /// Entries are lost for good.
    Gap {
        /// Where.
        room: RoomId,
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// A message in a sealed room that the key does not open, or that is not sealed.
    Undecryptable {
        /// Where.
        room: RoomId,
        /// Its place.
        seq: Seq,
        /// Whose, says the relay.
        member: MemberId,
    },
    /// How many are in a room has changed.
    Population {
        /// Where.
        room: RoomId,
        /// How many.
        members: u32,
    },
    /// The name of somebody who was told of without one. Names are asked for
    /// on entering a room of up to 256 members, else as people speak.
    Named {
        /// Where.
        room: RoomId,
        /// Who.
        member: MemberId,
        /// As this.
        name: Cow<'a, str>,
    },
    /// The relay has entered a message: every member that stays gets it or is told of a gap.
    Delivered {
        /// Which.
        ticket: Ticket,
        /// Where.
        room: RoomId,
        /// Its place, where the relay told it.
        seq: Option<Seq>,
    },
    /// A message is given up.
    NotSent {
        /// Which.
        ticket: Ticket,
        /// Where.
        room: RoomId,
        /// Why.
        why: NotSent,
    },
    /// The relay does not take more now; the client waits and goes on.
    Slow {
        /// Where.
        room: RoomId,
        /// Why.
        cause: SlowCause,
        /// How long the client waits.
        retry: Duration,
    },
    /// What became of [`nick`](super::Client::nick).
    Nick {
        /// Under which it was asked.
        request: RequestId,
        /// Ok, or why not; `None`: no answer.
        code: Option<Code>,
    },
    /// One of those who are in a room.
    Member {
        /// Under which it was asked.
        request: RequestId,
        /// Where.
        room: RoomId,
        /// Who.
        member: MemberId,
        /// As this.
        name: Cow<'a, str>,
        /// Entries up to this one are accounted for: what presence tells later comes on top.
        at: Seq,
    },
    /// One of the relay's rooms.
    Room {
        /// Under which it was asked.
        request: RequestId,
        /// How many are there.
        members: u32,
        /// Its name.
        name: Cow<'a, str>,
    },
    /// The end of a list of members or rooms.
    ListEnd {
        /// Under which it was asked.
        request: RequestId,
        /// Whether it is all; else no answer came, or the session ended.
        complete: bool,
    },
    /// Somebody said something to this client alone.
    Direct(Direct<'a>),
    /// What became of a private message.
    DirectDone {
        /// Which.
        ticket: Ticket,
        /// To whom.
        to: MemberId,
        /// What.
        outcome: DirectOutcome,
    },
}

/// What somebody said in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Where.
    pub room: RoomId,
    /// Its place there.
    pub seq: Seq,
    /// Whose.
    pub member: MemberId,
    /// The author's number for it; 0 for a plain member's.
    pub sseq: Sseq,
    /// The author's name when it was said, if known. In a sealed room the one that is sealed with it.
    pub name: Option<Cow<'a, str>>,
    /// Unix seconds when the relay accepted it.
    pub time_s: u32,
    /// What it is. A [`EntryKind::SEALED`] one is open by now.
    pub kind: EntryKind,
    /// Whether this client said it.
    pub mine: bool,
    /// Whether it was there before the client came.
    pub history: bool,
    /// The text, or what the program means by the kind. A plain member's line without its leading name.
    pub payload: Cow<'a, [u8]>,
}

/// What a room is told of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence<'a> {
    /// Where.
    pub room: RoomId,
    /// Its place there.
    pub seq: Seq,
    /// Who.
    pub member: MemberId,
    /// As this.
    pub name: Cow<'a, str>,
    /// Unix seconds when it happened.
    pub time_s: u32,
    /// What.
    pub change: Change,
    /// Whether it was there before the client came.
    pub history: bool,
}

/// What a member did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It came.
    Joined,
    /// It went.
    Left {
        /// Why.
        code: Code,
    },
    /// It has this name now. Also told when it has not changed, before its first message in a while.
    Renamed,
}

/// What somebody said to this client alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct<'a> {
    /// Who.
    pub from: MemberId,
    /// As this.
    pub name: Cow<'a, str>,
    /// Its number for it.
    pub dseq: Dseq,
    /// What it is.
    pub kind: EntryKind,
    /// The text, or what the program means by the kind.
    pub payload: Cow<'a, [u8]>,
}

/// Why the client asks for a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The relay closed the old one.
    Closed(Code),
    /// The relay does not answer any more.
    Silent,
    /// The relay says that it does not know the old one.
    Unknown,
    /// Messages were not accepted for 30 s.
    Stuck,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program said so.
    Done,
    /// No relay answered the first HELLO within 15 s.
    NoAnswer,
    /// The relay refused or closed the session for good.
    Code(Code),
    /// The relay speaks these versions, zeros behind them.
    OtherVersion([u8; 8]),
}

/// Why a message is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The relay will never take it; it was entered nowhere.
    Refused(RefusedCause),
    /// It was 30 s old when the connection came back; it was entered nowhere.
    Expired,
    /// The room was left, or the client closed, before it was sent; it was entered nowhere.
    Ended,
    /// It was sent and perhaps entered: the relay cannot tell any more.
    Unknown,
}

/// What became of a private message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectOutcome {
    /// The relay or the other program answered.
    Answered(DirectStatus),
    /// Nothing was heard within 30 s: perhaps it arrived.
    NotConfirmed,
    /// The relay's state is new and its members are others: perhaps it arrived.
    NewEpoch,
    /// The client closed: perhaps it arrived.
    Ended,
}

fn owned<T: ToOwned + ?Sized + 'static>(text: Cow<'_, T>) -> Cow<'static, T> {
    Cow::Owned(text.into_owned())
}

impl Message<'_> {
    /// With a copy of what it borrows.
    pub fn into_owned(self) -> Message<'static> {
        Message { name: self.name.map(owned), payload: owned(self.payload), ..self }
    }
}

impl Event<'_> {
    /// With a copy of what it borrows.
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Moved { to } => Event::Moved { to: owned(to) },
            Self::Closed { why, reason } => Event::Closed { why, reason: owned(reason) },
            Self::Joined { room, name, members, first, head } => {
                Event::Joined { room, name: owned(name), members, first, head }
            }
            Self::Message(message) => Event::Message(message.into_owned()),
            Self::Presence(presence) => Event::Presence(Presence { name: owned(presence.name), ..presence }),
            Self::Named { room, member, name } => Event::Named { room, member, name: owned(name) },
            Self::Member { request, room, member, name, at } => {
                Event::Member { request, room, member, name: owned(name), at }
            }
            Self::Room { request, members, name } => Event::Room { request, members, name: owned(name) },
            Self::Direct(direct) => {
                Event::Direct(Direct { name: owned(direct.name), payload: owned(direct.payload), ..direct })
            }
            Self::Connected { member, epoch, resumed } => Event::Connected { member, epoch, resumed },
            Self::Refused { code, retry } => Event::Refused { code, retry },
            Self::Reconnecting { why } => Event::Reconnecting { why },
            Self::JoinFailed { room, code } => Event::JoinFailed { room, code },
            Self::Left { room } => Event::Left { room },
            Self::Gap { room, from, to } => Event::Gap { room, from, to },
            Self::Undecryptable { room, seq, member } => Event::Undecryptable { room, seq, member },
            Self::Population { room, members } => Event::Population { room, members },
            Self::Delivered { ticket, room, seq } => Event::Delivered { ticket, room, seq },
            Self::NotSent { ticket, room, why } => Event::NotSent { ticket, room, why },
            Self::Slow { room, cause, retry } => Event::Slow { room, cause, retry },
            Self::Nick { request, code } => Event::Nick { request, code },
            Self::ListEnd { request, complete } => Event::ListEnd { request, complete },
            Self::DirectDone { ticket, to, outcome } => Event::DirectDone { ticket, to, outcome },
        }
    }
}

/// An event without its text and payload, which are kept beside it.
struct Queued {
    event: Event<'static>,
    text: Range<usize>,
    bytes: Range<usize>,
}

/// Events until they are fetched. Text and payloads are kept in two buffers
/// that are emptied when the queue is, so that a message costs no allocation.
#[derive(Default)]
pub(super) struct Events {
    queue: VecDeque<Queued>,
    texts: String,
    bytes: Vec<u8>,
}

impl Events {
    /// Adds an event that has no text of its own.
    pub(super) fn push(&mut self, event: Event<'static>) {
        self.add(event, "", b"");
    }

    /// Adds an event; `text` and `bytes` are put where it has an empty one.
    pub(super) fn add(&mut self, event: Event<'static>, text: &str, bytes: &[u8]) {
        if self.queue.is_empty() {
            self.texts.clear();
            self.bytes.clear();
        }
        let (text_at, bytes_at) = (self.texts.len(), self.bytes.len());
        self.texts.push_str(text);
        self.bytes.extend_from_slice(bytes);
        self.queue.push_back(Queued { event, text: text_at..self.texts.len(), bytes: bytes_at..self.bytes.len() });
    }

    pub(super) fn poll(&mut self) -> Option<Event<'_>> {
        let Queued { event, text, bytes } = self.queue.pop_front()?;
        Some(with_content(event, &self.texts[text], &self.bytes[bytes]))
    }

    /// Events waiting, and the bytes that they hold.
    pub(super) fn size(&self) -> (usize, usize) {
        // The buffers are emptied with the next event only: the last one fetched borrows from them.
        let bytes = if self.queue.is_empty() { 0 } else { self.texts.len() + self.bytes.len() };
        (self.queue.len(), bytes)
    }
}

fn with_content<'a>(mut event: Event<'a>, text: &'a str, bytes: &'a [u8]) -> Event<'a> {
    match &mut event {
        Event::Message(message) => {
            message.payload = Cow::Borrowed(bytes);
            message.name = message.name.is_some().then_some(Cow::Borrowed(text));
        }
        Event::Direct(direct) => {
            direct.payload = Cow::Borrowed(bytes);
            direct.name = Cow::Borrowed(text);
        }
        Event::Presence(presence) => presence.name = Cow::Borrowed(text),
        Event::Moved { to: place }
        | Event::Closed { reason: place, .. }
        | Event::Joined { name: place, .. }
        | Event::Named { name: place, .. }
        | Event::Member { name: place, .. }
        | Event::Room { name: place, .. } => *place = Cow::Borrowed(text),
        _ => {}
    }
    event
}

/// Stands for a text or payload that is kept beside its event.
pub(super) const BESIDE: Cow<'static, str> = Cow::Borrowed("");
/// The same for a payload.
pub(super) const BYTES_BESIDE: Cow<'static, [u8]> = Cow::Borrowed(&[]);

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: Option<&'static str>) -> Event<'static> {
        Event::Message(Message {
            room: RoomId(1),
            seq: Seq(1),
            member: MemberId(2),
            sseq: Sseq(1),
            name: name.map(Cow::Borrowed),
            time_s: 0,
            kind: EntryKind::TEXT,
            mine: false,
            history: false,
            payload: BYTES_BESIDE,
        })
    }

    #[test]
    fn text_and_payload_come_back_with_their_event() {
        let mut events = Events::default();
        events.add(said(Some("")), "bob", b"hi");
        events.add(said(None), "", b"ho");
        fn heard(event: Option<Event<'_>>) -> (Option<String>, Vec<u8>) {
            match event {
                Some(Event::Message(message)) => (message.name.map(String::from), message.payload.into_owned()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard(events.poll()), (Some("bob".to_owned()), b"hi".to_vec()));
        assert_eq!(heard(events.poll()), (None, b"ho".to_vec()));
        assert_eq!(events.poll(), None);
    }

    #[test]
    fn a_queue_that_is_emptied_takes_no_more_memory() {
        let mut events = Events::default();
        for _ in 0..1000 {
            events.add(said(Some("")), "bob", &[0; 1000]);
            let kept = events.poll().map(Event::into_owned);
            assert!(matches!(kept, Some(Event::Message(message)) if message.payload.len() == 1000));
        }
        assert_eq!((events.size(), events.bytes.len()), ((0, 0), 1000));
    }
}
