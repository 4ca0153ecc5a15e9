//! Tests of the chat's model and of how it looks. A client that is never
//! connected hands out the numbers; the tests say what happens.

mod model;
mod view;

use super::model::{Model, Verbs};
use super::tab::{Delivery, What};
use outcry::client::{
    Change, Client, Code, Direct, EntryKind, Epoch, Event, MemberId, Message, Options, Presence, RequestId, RoomId,
    RoomSpec, Seq, Sseq, Ticket, Unfit,
};
use outcry::wire::id::Dseq;
use std::cell::{Cell, RefCell};

const ME: MemberId = MemberId(1);
const BOB: MemberId = MemberId(2);
const CYD: MemberId = MemberId(3);
/// 2026-11-23 08:00:00 in UTC.
const EIGHT: u32 = 1_795_420_800;

/// Takes what the model wants, and keeps it.
struct Wire {
    client: RefCell<Client>,
    said: RefCell<Vec<(RoomId, String)>>,
    alone: RefCell<Vec<(MemberId, String)>>,
    tickets: RefCell<Vec<Ticket>>,
    requests: RefCell<Vec<RequestId>>,
    is_full: Cell<bool>,
}

impl Wire {
    fn new() -> Self {
        Self {
            client: RefCell::new(Client::new(Options::new("amy"), [7; 32], Default::default()).unwrap()),
            said: RefCell::default(),
            alone: RefCell::default(),
            tickets: RefCell::default(),
            requests: RefCell::default(),
            is_full: Cell::new(false),
        }
    }

    fn kept<T: Copy>(kept: &RefCell<Vec<T>>, result: Result<T, Unfit>) -> Result<T, Unfit> {
        result.inspect(|number| kept.borrow_mut().push(*number))
    }

    fn ticket(&self, at: usize) -> Ticket {
        self.tickets.borrow()[at]
    }

    fn request(&self) -> RequestId {
        *self.requests.borrow().last().unwrap()
    }

    fn texts(&self) -> Vec<String> {
        self.said.borrow().iter().map(|(_, text)| text.clone()).collect()
    }
}

impl Verbs for Wire {
    fn join(&self, spec: RoomSpec) -> Result<RoomId, Unfit> {
        self.client.borrow_mut().join(Default::default(), spec)
    }

    fn leave(&self, room: RoomId) -> Result<(), Unfit> {
        self.client.borrow_mut().leave(Default::default(), room)
    }

    fn send(&self, room: RoomId, text: &[u8]) -> Result<Ticket, Unfit> {
        if self.is_full.get() {
            return Err(Unfit::Full);
        }
        self.said.borrow_mut().push((room, String::from_utf8(text.to_vec()).unwrap()));
        Self::kept(&self.tickets, self.client.borrow_mut().send(Default::default(), room, text))
    }

    fn direct(&self, to: MemberId, text: &[u8]) -> Result<Ticket, Unfit> {
        self.alone.borrow_mut().push((to, String::from_utf8(text.to_vec()).unwrap()));
        Self::kept(&self.tickets, self.client.borrow_mut().direct(Default::default(), to, text))
    }

    fn nick(&self, name: &str) -> Result<RequestId, Unfit> {
        Self::kept(&self.requests, self.client.borrow_mut().nick(Default::default(), name))
    }

    fn who(&self, room: RoomId) -> Result<RequestId, Unfit> {
        Self::kept(&self.requests, self.client.borrow_mut().who(Default::default(), room))
    }

    fn list(&self) -> Result<RequestId, Unfit> {
        Self::kept(&self.requests, self.client.borrow_mut().list(Default::default()))
    }
}

/// A chat, with the wire that it speaks through.
struct Chat {
    model: Model,
    wire: Wire,
    next: u64,
}

impl Chat {
    /// amy in the lobby, with bob and cyd.
    fn new() -> Self {
        let mut chat = Self::alone_in(RoomSpec::lobby(), 3);
        chat.lists(&[(ME, "amy"), (BOB, "bob"), (CYD, "cyd")]);
        chat
    }

    fn alone_in(spec: RoomSpec, members: u32) -> Self {
        let mut chat = Self { model: Model::new("amy", 100), wire: Wire::new(), next: 10 };
        chat.model.join(spec, &chat.wire).unwrap();
        chat.hear(Event::Connected { member: ME, epoch: Epoch(1), resumed: false });
        chat.is_in(members);
        chat
    }

    fn room(&self) -> RoomId {
        self.model.tab().unwrap().id
    }

    fn hear(&mut self, event: Event<'_>) {
        self.model.hear(event, &self.wire);
    }

    /// The relay has let it into the current room.
    fn is_in(&mut self, members: u32) {
        let room = self.room();
        self.hear(Event::Joined { room, name: "amy".into(), members, first: Seq(10), head: Seq(9) });
    }

    /// The answer to the last question about members.
    fn lists(&mut self, members: &[(MemberId, &str)]) {
        let (room, request) = (self.room(), self.wire.request());
        for (member, name) in members {
            let name = (*name).into();
            self.hear(Event::Member { request, room, member: *member, name, at: Seq(self.next - 1) });
        }
        self.hear(Event::ListEnd { request, complete: true });
    }

    fn types(&mut self, line: &str) {
        self.model.editor.insert(line);
        self.model.submit(&self.wire);
    }

    fn seq(&mut self) -> Seq {
        self.next += 1;
        Seq(self.next - 1)
    }

    fn message(&mut self, member: MemberId, name: Option<&'static str>, text: &'static str) -> Message<'static> {
        let seq = self.seq();
        let time_s = EIGHT + u32::try_from(seq.0 - 10).unwrap() * 60;
        Message {
            room: self.room(),
            seq,
            member,
            sseq: Sseq(1),
            name: name.map(Into::into),
            time_s,
            kind: EntryKind::TEXT,
            mine: member == ME,
            history: false,
            payload: text.as_bytes().into(),
        }
    }

    fn says(&mut self, member: MemberId, name: &'static str, text: &'static str) {
        let message = self.message(member, Some(name), text);
        self.hear(Event::Message(message));
    }

    fn does(&mut self, member: MemberId, name: &'static str, change: Change) {
        let (room, seq) = (self.room(), self.seq());
        let name = name.into();
        self.hear(Event::Presence(Presence { room, seq, member, name, time_s: EIGHT, change, history: false }));
    }

    fn says_alone(&mut self, from: MemberId, name: &'static str, text: &'static str) {
        let (kind, payload) = (EntryKind::TEXT, text.as_bytes().into());
        self.hear(Event::Direct(Direct { from, name: name.into(), dseq: Dseq(1), kind, payload }));
    }

    /// What the current room's last line says.
    fn last(&self) -> &What {
        &self.model.tab().unwrap().lines().next_back().unwrap().what
    }

    fn lines(&self) -> usize {
        self.model.tab().unwrap().lines().count()
    }

    #[track_caller]
    fn notices(&self, expected: &str) {
        match self.last() {
            What::Notice(text) | What::Warning(text) => assert!(text.contains(expected), "{text:?}"),
            other => panic!("{other:?}"),
        }
    }
}

fn own(text: &str, delivery: Delivery) -> What {
    What::Own { name: "amy".to_owned(), text: text.to_owned(), delivery }
}
