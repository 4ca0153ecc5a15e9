//! Owns what the chat knows: its rooms, its connection, its open questions.
//! What the client tells comes in; what a screen or a pipe shows is read off.
//! What the user wants is in `doing`. Never draws, reads a key or waits.

use super::editor::Editor;
use super::members::LISTED_MAX;
use super::tab::{Delivery, Tab, What};
use super::text::shown;
use super::words;
use outcry::client::{
    Change, Code, Direct, DirectOutcome, DirectStatus, End, EntryKind, Event, MemberId, Message, NotSent, Presence,
    RequestId, RoomId, RoomSpec, Seq, Ticket, Unfit,
};
use std::collections::{BTreeMap, BTreeSet};

/// What the model needs of a connection.
pub(super) trait Verbs {
    fn join(&self, spec: RoomSpec) -> Result<RoomId, Unfit>;
    fn leave(&self, room: RoomId) -> Result<(), Unfit>;
    fn send(&self, room: RoomId, text: &[u8]) -> Result<Ticket, Unfit>;
    fn direct(&self, to: MemberId, text: &[u8]) -> Result<Ticket, Unfit>;
    fn nick(&self, name: &str) -> Result<RequestId, Unfit>;
    fn who(&self, room: RoomId) -> Result<RequestId, Unfit>;
    fn list(&self) -> Result<RequestId, Unfit>;
}

/// How it stands with the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Connected,
    /// Not now; why.
    Away(String),
    Over,
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) enum Asked {
    Members { room: RoomId, listed: BTreeMap<MemberId, Seq>, then: Then },
    Rooms { room: RoomId, found: Vec<(String, u32)> },
    Nick { room: RoomId, name: String },
}

/// What a list of members is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    Show,
    SayTo { name: String, text: String },
}

/// Whom the user does not want to hear.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    pub(super) names: BTreeSet<String>,
    /// Those members, in case they take another name.
    pub(super) members: BTreeSet<MemberId>,
}

/// The chat.
pub(super) struct Model {
    /// What the user asked to be called.
    pub(super) wanted_name: String,
    /// As the relay calls this member.
    pub(super) name: String,
    pub(super) me: Option<MemberId>,
    /// Entries before the join that are fetched.
    pub(super) history: u32,
    pub(super) standing: Standing,
    /// Why messages are slow to go out, if they are.
    pub(super) slow: Option<String>,
    pub(super) tabs: Vec<Tab>,
    pub(super) current: usize,
    pub(super) editor: Editor,
    pub(super) ignored: Ignored,
    pub(super) asked: Vec<(RequestId, Asked)>,
    /// Why it is over, once it is.
    pub(super) end: Option<(End, String)>,
    /// The relay did not let this member into its only room.
    pub(super) shut_out: Option<(String, Code)>,
    /// The relay has sent this member to another one.
    is_moving: bool,
    /// The user wants to leave.
    pub(super) is_leaving: bool,
    /// Something was not sent or not delivered.
    pub(super) has_failed: bool,
}

impl Model {
    pub(super) fn new(name: &str, history: u32) -> Self {
        Self {
            wanted_name: name.to_owned(),
            name: name.to_owned(),
            me: None,
            history,
            standing: Standing::Connected,
            slow: None,
            tabs: Vec::new(),
            current: 0,
            editor: Editor::default(),
            ignored: Ignored::default(),
            asked: Vec::new(),
            end: None,
            shut_out: None,
            is_moving: false,
            is_leaving: false,
            has_failed: false,
        }
    }

    // ---- reading it ------------------------------------------------------------------

    pub(super) fn tab(&self) -> Option<&Tab> {
        self.tabs.get(self.current)
    }

    pub(super) fn tab_mut(&mut self) -> Option<&mut Tab> {
        self.tabs.get_mut(self.current)
    }

    /// Messages that are neither delivered nor given up.
    pub(super) fn waiting(&self) -> usize {
        self.tabs.iter().map(Tab::waiting).sum()
    }

    /// Whether an answer to the user's question is still to come.
    pub(super) fn is_asking(&self) -> bool {
        self.asked.iter().any(|(_, asked)| !matches!(asked, Asked::Members { then: Then::Nothing, .. }))
    }

    pub(super) fn room(&mut self, id: RoomId) -> Option<&mut Tab> {
        self.tabs.iter_mut().find(|tab| tab.id == id)
    }

    /// A notice where the user looks.
    pub(super) fn notice(&mut self, text: impl Into<String>) {
        if let Some(tab) = self.tab_mut() {
            tab.notice(text);
        }
    }

    /// The reader has the newest line of a room in view.
    pub(super) fn look(&mut self) {
        if let Some(tab) = self.tab_mut().filter(|tab| tab.anchor.is_none()) {
            tab.unread = 0;
        }
    }

    // ---- what the client tells ----------------------------------------------------------

    /// Takes in what happened.
    pub(super) fn hear(&mut self, event: Event<'_>, verbs: &dyn Verbs) {
        self.told_up_to(&event);
        match event {
            Event::Connected { member, resumed, .. } => self.connected(member, resumed),
            Event::Refused { code, retry } => self.standing = Standing::Away(words::refused_for_now(code, retry)),
            Event::Reconnecting { why } => self.standing = Standing::Away(why.to_string()),
            Event::Moved { to } => {
                self.is_moving = true;
                self.notice(format!("the relay has moved to {}", shown(to.as_bytes())));
            }
            Event::Closed { why, reason } => {
                self.standing = Standing::Over;
                self.end = Some((why, shown(reason.as_bytes())));
            }
            Event::Joined { room, name, members, first, head } => {
                self.joined(room, &name, members, verbs);
                if let Some(tab) = self.room(room).filter(|_| first <= head) {
                    tab.head = head;
                }
            }
            Event::JoinFailed { room, code } => self.join_failed(room, code),
            Event::Left { room } => self.remove(room),
            Event::Message(message) => self.heard(&message),
            Event::Direct(direct) => self.heard_direct(&direct),
            Event::Presence(presence) => self.presence(&presence),
            Event::Population { room, members } => self.population(room, members, verbs),
            Event::Delivered { ticket, room, .. } => self.delivered(room, ticket, verbs),
            Event::NotSent { ticket, room, why } => self.not_sent(room, ticket, why, verbs),
            Event::DirectDone { ticket, outcome, .. } => self.direct_done(ticket, outcome),
            Event::Nick { request, code } => self.answered_nick(request, code),
            Event::Member { request, member, name, at, room } => self.listed(request, room, member, &name, at),
            Event::Room { request, members, name } => self.listed_room(request, &name, members),
            Event::ListEnd { request, complete } => self.list_ended(request, complete, verbs),
            Event::Slow { cause, retry, .. } => self.slow = Some(words::slow(cause, retry)),
            other => self.heard_of_room(other),
        }
    }

    /// Notes how far a room has been told.
    fn told_up_to(&mut self, event: &Event<'_>) {
        let (room, seq) = match event {
            Event::Message(message) => (message.room, message.seq),
            Event::Presence(presence) => (presence.room, presence.seq),
            Event::Gap { room, to, .. } => (*room, *to),
            Event::Undecryptable { room, seq, .. } => (*room, *seq),
            _ => return,
        };
        if let Some(tab) = self.room(room) {
            tab.told = seq;
        }
    }

    fn heard_of_room(&mut self, event: Event<'_>) {
        let (Event::Gap { room, .. } | Event::Undecryptable { room, .. } | Event::Named { room, .. }) = event else {
            return;
        };
        let Some(tab) = self.room(room) else { return };
        match event {
            Event::Gap { from, to, .. } => {
                tab.settle_delivered();
                tab.push(None, What::Lost(to.0.saturating_sub(from.0) + 1));
            }
            Event::Undecryptable { .. } => tab.push_unreadable(),
            Event::Named { member, name, .. } => tab.name_member(member, &name),
            _ => {}
        }
    }

    // ---- the session ---------------------------------------------------------------------

    fn connected(&mut self, member: MemberId, resumed: bool) {
        let is_first = self.me.is_none();
        self.standing = Standing::Connected;
        self.me = Some(member);
        let has_moved = std::mem::take(&mut self.is_moving);
        if !resumed {
            self.ignored.members.clear();
            for tab in &mut self.tabs {
                tab.members.forget();
                if !is_first {
                    tab.settle_delivered();
                    tab.warn(words::begun_anew(has_moved));
                }
            }
        }
    }

    fn joined(&mut self, room: RoomId, name: &str, members: u32, verbs: &dyn Verbs) {
        self.called(name);
        let Some(tab) = self.room(room) else { return };
        tab.population = members;
        if !tab.is_joined {
            tab.is_joined = true;
            tab.notice(words::joined(tab, members));
        }
        self.ask_members(room, Then::Nothing, verbs);
        self.send_unsent(verbs);
    }

    /// The relay calls this member `name`.
    fn called(&mut self, name: &str) {
        if name == self.name {
            return;
        }
        self.name = name.to_owned();
        let told = format!("you are {} here", shown(name.as_bytes()));
        self.tabs.iter_mut().for_each(|tab| tab.notice(told.clone()));
    }

    fn join_failed(&mut self, room: RoomId, code: Code) {
        let Some(tab) = self.room(room) else { return };
        let name = tab.name.clone();
        self.remove(room);
        if self.tabs.is_empty() {
            self.shut_out = Some((name, code));
        } else {
            self.notice(words::shut_out(&name, code));
        }
    }

    pub(super) fn remove(&mut self, room: RoomId) {
        let Some(at) = self.tabs.iter().position(|tab| tab.id == room) else { return };
        self.tabs.remove(at);
        if self.current > at || self.current >= self.tabs.len() {
            self.current = self.current.saturating_sub(1);
        }
    }

    // ---- what is said ----------------------------------------------------------------------

    fn heard(&mut self, message: &Message<'_>) {
        let is_hidden = self.is_ignored(message.member, message.name.as_deref());
        let is_mine = message.mine;
        let name = message.name.as_deref().map(|name| shown(name.as_bytes()));
        let own_name = name.clone().unwrap_or_else(|| shown(self.name.as_bytes()));
        let is_looked_at = self.tab().is_some_and(|tab| tab.id == message.room && tab.anchor.is_none());
        let Some(tab) = self.room(message.room) else { return };
        let text = shown(&message.payload);
        let what = match message.kind {
            _ if is_mine => {
                tab.echoed(&message.payload);
                What::Own { name: own_name, text, delivery: Delivery::Delivered }
            }
            _ if is_hidden => return,
            EntryKind::TEXT | EntryKind::SEALED if message.member == MemberId(0) => What::Notice(text),
            EntryKind::TEXT | EntryKind::SEALED => What::Said { member: message.member, name, text },
            EntryKind(kind) => What::Notice(format!(
                "{} sent something that is not text (kind {kind})",
                name.as_deref().unwrap_or("somebody")
            )),
        };
        tab.unread += u32::from(!is_looked_at && !is_mine && !message.history);
        tab.push(Some(message.time_s), what);
    }

    fn is_ignored(&self, member: MemberId, name: Option<&str>) -> bool {
        self.ignored.members.contains(&member) || name.is_some_and(|name| self.ignored.names.contains(name))
    }

    fn heard_direct(&mut self, direct: &Direct<'_>) {
        if self.is_ignored(direct.from, Some(&direct.name)) || direct.kind != EntryKind::TEXT {
            return;
        }
        let what = What::PrivateFrom { name: shown(direct.name.as_bytes()), text: shown(&direct.payload) };
        if let Some(tab) = self.tab_mut() {
            tab.unread += u32::from(tab.anchor.is_some());
            tab.push(None, what);
        }
    }

    fn presence(&mut self, presence: &Presence<'_>) {
        if self.me == Some(presence.member) {
            if presence.change == Change::Renamed && !presence.history {
                self.called(&presence.name);
            }
        } else if self.ignored.members.contains(&presence.member) {
            self.ignored.names.insert(presence.name.clone().into_owned());
        } else if self.ignored.names.contains(&*presence.name) {
            self.ignored.members.insert(presence.member);
        }
        let is_me = self.me == Some(presence.member);
        let Some(tab) = self.room(presence.room).filter(|_| !presence.history) else { return };
        let name = shown(presence.name.as_bytes());
        let told = match presence.change {
            Change::Joined => {
                tab.members.named(presence.member, &presence.name, presence.seq);
                Some(format!("{name} is here"))
            }
            Change::Left { code } => {
                tab.members.left(presence.member, presence.seq);
                Some(words::left(&name, code))
            }
            Change::Renamed => {
                let former = tab.members.named(presence.member, &presence.name, presence.seq);
                former.map(|former| format!("{} is called {name} now", shown(former.as_bytes())))
            }
        };
        if let Some(told) = told.filter(|_| !is_me) {
            tab.push(Some(presence.time_s), What::Notice(told));
        }
    }

    /// A number that the list does not bear out: not every coming and going is told.
    fn population(&mut self, room: RoomId, members: u32, verbs: &dyn Verbs) {
        let Some(tab) = self.room(room) else { return };
        tab.population = members;
        if tab.members.count() != members as usize {
            self.ask_members(room, Then::Nothing, verbs);
        }
    }

    // ---- outcomes -----------------------------------------------------------------------------

    fn delivered(&mut self, room: RoomId, ticket: Ticket, verbs: &dyn Verbs) {
        self.slow = None;
        if let Some(tab) = self.room(room) {
            tab.delivered(ticket);
        }
        self.send_unsent(verbs);
    }

    fn not_sent(&mut self, room: RoomId, ticket: Ticket, why: NotSent, verbs: &dyn Verbs) {
        if let Some(tab) = self.room(room) {
            tab.settle(ticket, Delivery::Failed(why.to_string()));
        }
        self.has_failed = true;
        self.send_unsent(verbs);
    }

    fn direct_done(&mut self, ticket: Ticket, outcome: DirectOutcome) {
        let delivery = match outcome {
            DirectOutcome::Answered(DirectStatus::Delivered) => Delivery::Delivered,
            failed => Delivery::Failed(failed.to_string()),
        };
        self.has_failed |= delivery != Delivery::Delivered;
        let _ = self.tabs.iter_mut().any(|tab| tab.settle(ticket, delivery.clone()));
    }

    fn answered_nick(&mut self, request: RequestId, code: Option<Code>) {
        let Some(Asked::Nick { room, name }) = self.answered(request) else { return };
        match code {
            Some(Code::Ok) => {
                self.wanted_name.clone_from(&name);
                self.called(&name);
            }
            failed => {
                self.has_failed = true;
                let told = words::nick_failed(&shown(name.as_bytes()), failed);
                let Some(tab) = self.room(room) else { return };
                tab.warn(told);
            }
        }
    }

    // ---- lists ----------------------------------------------------------------------------------

    /// Asks who is in a room, unless that is asked already, or nobody wants so many names.
    pub(super) fn ask_members(&mut self, room: RoomId, then: Then, verbs: &dyn Verbs) {
        let is_asked =
            |(_, asked): &(RequestId, Asked)| matches!(asked, Asked::Members { room: asked, .. } if *asked == room);
        let is_large = self.room(room).is_some_and(|tab| tab.population > LISTED_MAX);
        if then == Then::Nothing && (is_large || self.asked.iter().any(is_asked)) {
            return;
        }
        match verbs.who(room) {
            Ok(request) => self.asked.push((request, Asked::Members { room, listed: BTreeMap::new(), then })),
            Err(_) if then == Then::Nothing => {}
            Err(error) => self.cannot(error),
        }
    }

    /// Something that the client does not take.
    pub(super) fn cannot(&mut self, error: Unfit) {
        self.has_failed = true;
        if let Some(tab) = self.tab_mut() {
            tab.warn(error.to_string());
        }
    }

    fn answered(&mut self, request: RequestId) -> Option<Asked> {
        let at = self.asked.iter().position(|(asked, _)| *asked == request)?;
        Some(self.asked.remove(at).1)
    }

    fn listed(&mut self, request: RequestId, room: RoomId, member: MemberId, name: &str, at: Seq) {
        if let Some((_, Asked::Members { listed, .. })) = self.asked.iter_mut().find(|(asked, _)| *asked == request) {
            listed.insert(member, at);
        }
        if self.ignored.names.contains(name) {
            self.ignored.members.insert(member);
        }
        if let Some(tab) = self.room(room) {
            tab.members.learn(member, name, at);
        }
    }

    fn listed_room(&mut self, request: RequestId, name: &str, members: u32) {
        if let Some((_, Asked::Rooms { found, .. })) = self.asked.iter_mut().find(|(asked, _)| *asked == request) {
            found.push((shown(name.as_bytes()), members));
        }
    }

    fn list_ended(&mut self, request: RequestId, complete: bool, verbs: &dyn Verbs) {
        match self.answered(request) {
            Some(Asked::Members { room, listed, then }) => self.members_ended(room, &listed, then, complete, verbs),
            Some(Asked::Rooms { room, found }) => {
                let told = if complete { words::rooms(&found) } else { words::NO_LIST.to_owned() };
                self.has_failed |= !complete;
                let Some(tab) = self.room(room) else { return };
                tab.notice(told);
            }
            _ => {}
        }
    }

    fn members_ended(
        &mut self,
        room: RoomId,
        listed: &BTreeMap<MemberId, Seq>,
        then: Then,
        complete: bool,
        verbs: &dyn Verbs,
    ) {
        let Some(tab) = self.room(room) else { return };
        if complete {
            tab.members.end_list(listed);
        }
        match then {
            Then::Nothing => {}
            Then::Show if complete => tab.notice(words::members(&tab.members.names())),
            Then::Show => tab.warn(words::NO_LIST),
            Then::SayTo { name, text } => match tab.members.find(&name) {
                Some(member) => self.say_to_member(room, member, &name, &text, verbs),
                None => {
                    tab.warn(words::nobody(&shown(name.as_bytes()), complete));
                    self.has_failed = true;
                }
            },
        }
    }
}
