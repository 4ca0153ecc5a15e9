//! Owns what was said and what clients tell: each entry of a room once and in
//! its order or named in a gap (I2, I6), the same for all (I3), nothing that
//! was not said (I1), each author's in its order (I4), and what was
//! acknowledged is there (I5).

use super::holds;
use super::wire::digest;
use outcry::client::{Direct, DirectOutcome, DirectStatus, Event, Message, NotSent, Presence, RoomId, Ticket};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody in the simulation.
pub(crate) type Who = usize;

/// A room of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoomNumber(pub(crate) usize);

/// The rooms' names; the last one is sealed.
pub(crate) const ROOMS: [&str; 5] = ["lobby", "den", "loft", "attic", "vault"];
pub(crate) const LOBBY: RoomNumber = RoomNumber(0);
pub(crate) const VAULT: RoomNumber = RoomNumber(4);

pub(super) fn room_number(name: &str) -> RoomNumber {
    RoomNumber(ROOMS.iter().position(|room| *room == name).expect("a room of the simulation"))
}

/// What became of a text, says its author's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Delivered { epoch: u64, seq: Option<u64> },
    NotSent(NotSent),
}

/// Where a text was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Room(RoomNumber),
    Member(Who),
}

/// A text that somebody said.
#[derive(Debug)]
struct Said {
    to: To,
    text: Vec<u8>,
    at: u64,
    accepted_at: Option<u64>,
    outcome: Option<Outcome>,
    /// Times that it was told as a private message.
    heard: u32,
}

/// What one client is told of one room.
#[derive(Debug)]
struct Stream {
    room: RoomNumber,
    /// When it was to join.
    since: u64,
    history: u64,
    epoch: Option<u64>,
    first: u64,
    joined_head: u64,
    /// The only entry that may be told next.
    next: u64,
    /// Entries that were named in gaps, in this epoch.
    gone: u64,
    /// The newest of each author's texts.
    newest: BTreeMap<Who, usize>,
    is_in: bool,
}

/// A room in one epoch, as everybody is told of it.
#[derive(Default)]
struct Shown {
    entries: BTreeMap<u64, u64>,
    places: BTreeMap<(Who, usize), u64>,
}

/// How long texts took, in nanoseconds.
#[derive(Default)]
pub(crate) struct Latencies {
    pub(crate) from_send: Vec<u64>,
    pub(crate) from_acceptance: Vec<u64>,
}

/// What is counted, if it is to be.
#[derive(Default)]
pub(crate) struct Counting {
    pub(crate) latencies: BTreeMap<Who, Latencies>,
    /// Only texts said from then on.
    pub(crate) since: u64,
}

/// What is still to be done when nothing new is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backlog {
    /// Bytes of entries that the one furthest behind has not been told, and all that is not yet accepted.
    pub(crate) bytes: u64,
    /// Texts, and their bytes, of the author with most that is not acknowledged.
    pub(crate) texts: u64,
    pub(crate) text_bytes: u64,
}

/// The books.
#[derive(Default)]
pub(crate) struct Books {
    said: BTreeMap<Who, Vec<Said>>,
    tickets: BTreeMap<(Who, Ticket), usize>,
    streams: BTreeMap<(Who, RoomId), Stream>,
    shown: BTreeMap<(u64, RoomNumber), Shown>,
    members: BTreeMap<(u64, u32), Who>,
    epochs: BTreeMap<Who, (u64, u32)>,
    connections: BTreeMap<Who, usize>,
    vanished: BTreeSet<Who>,
    /// Sealed messages that each client has dropped because they came in an
    /// epoch before, and how many of these left a hole in what it was told.
    repeats: BTreeMap<Who, (u64, u64)>,
    pub(super) plain_names: BTreeSet<Vec<u8>>,
    pub(crate) counting: Option<Counting>,
    pub(crate) told: u64,
    pub(crate) gaps: u64,
    pub(crate) delivered: u64,
    pub(crate) not_sent: u64,
}

/// Whose text it is, and which.
fn parse(text: &[u8]) -> Option<(Who, usize)> {
    let mut parts = std::str::from_utf8(text).ok()?.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What a line says behind its author's name.
fn without_name(line: &[u8]) -> &[u8] {
    let at = line.windows(3).position(|three| three == b" : ");
    at.map_or(line, |at| &line[at + 3..])
}

impl Books {
    // ---- what clients are asked to do -------------------------------------------------

    /// A text of at least `len` bytes that nobody has said before.
    pub(crate) fn compose(&self, who: Who, len: usize) -> Vec<u8> {
        let number = self.said.get(&who).map_or(0, Vec::len);
        let mut text = format!("{who}:{number}:").into_bytes();
        while text.len() < len {
            text.push(b'a' + (text.len() % 26) as u8);
        }
        text
    }

    fn note(&mut self, now: u64, who: Who, to: To, text: &[u8]) -> usize {
        let said = self.said.entry(who).or_default();
        said.push(Said { to, text: text.to_vec(), at: now, accepted_at: None, outcome: None, heard: 0 });
        said.len() - 1
    }

    pub(crate) fn says(&mut self, now: u64, who: Who, room: RoomNumber, ticket: Option<Ticket>, text: &[u8]) {
        let number = self.note(now, who, To::Room(room), text);
        ticket.map(|ticket| self.tickets.insert((who, ticket), number));
    }

    pub(crate) fn says_to(&mut self, now: u64, who: Who, to: Who, ticket: Ticket, text: &[u8]) {
        let number = self.note(now, who, To::Member(to), text);
        self.tickets.insert((who, ticket), number);
    }

    pub(crate) fn joins(&mut self, now: u64, who: Who, id: RoomId, room: RoomNumber, history: u64) {
        let stream = Stream {
            room,
            since: now,
            history,
            epoch: None,
            first: 0,
            joined_head: 0,
            next: 0,
            gone: 0,
            newest: BTreeMap::new(),
            is_in: false,
        };
        self.streams.insert((who, id), stream);
    }

    pub(crate) fn was_connected(&self, who: Who) -> bool {
        self.epochs.contains_key(&who)
    }

    /// Sessions that a client has told of.
    pub(crate) fn connections(&self, who: Who) -> usize {
        self.connections.get(&who).copied().unwrap_or(0)
    }

    /// Whether a client is in all its rooms, in the epoch of its session.
    pub(crate) fn is_in(&self, who: Who) -> bool {
        let epoch = self.epochs.get(&who).map(|(epoch, _)| *epoch);
        let mut streams = self.streams.iter().filter(|((other, _), _)| *other == who);
        streams.all(|(_, stream)| stream.epoch == epoch)
    }

    /// It is gone, and tells nothing any more.
    pub(crate) fn vanishes(&mut self, who: Who) {
        self.vanished.insert(who);
        self.streams.retain(|(other, _), _| *other != who);
        self.tickets.retain(|(other, _), _| *other != who);
    }

    /// A text has become an entry.
    pub(super) fn accepted(&mut self, now: u64, text: &[u8]) {
        if let Some((author, number)) = parse(without_name(text))
            && let Some(said) = self.said.get_mut(&author).and_then(|said| said.get_mut(number))
        {
            said.accepted_at.get_or_insert(now);
        }
    }

    // ---- what clients tell ---------------------------------------------------------------

    pub(crate) fn told(&mut self, now: u64, who: Who, event: &Event<'_>) {
        match event {
            Event::Connected { member, epoch, resumed } => self.connected(who, epoch.0, member.0, *resumed),
            Event::Joined { room, first, head, .. } => self.joined(who, *room, first.0, head.0),
            Event::Left { room } | Event::JoinFailed { room, .. } => _ = self.streams.remove(&(who, *room)),
            Event::Message(message) => self.message(now, who, message),
            Event::Presence(presence) => self.presence(who, presence),
            Event::Gap { room, from, to } => self.gap(who, *room, from.0, to.0),
            Event::Undecryptable { .. } => panic!("{who} cannot open what it should: {event:?}"),
            Event::Delivered { ticket, seq, .. } => self.delivered(who, *ticket, seq.map(|seq| seq.0)),
            Event::NotSent { ticket, why, .. } => self.not_sent(who, *ticket, *why),
            Event::Direct(direct) => self.direct(who, direct),
            Event::DirectDone { ticket, outcome, .. } => self.direct_done(who, *ticket, *outcome),
            _ => {}
        }
    }

    fn connected(&mut self, who: Who, epoch: u64, member: u32, resumed: bool) {
        *self.connections.entry(who).or_default() += 1;
        let holder = *self.members.entry((epoch, member)).or_insert(who);
        holds!(holder == who, "member {member} is {holder} and {who}");
        let former = self.epochs.insert(who, (epoch, member));
        let same = former.is_some_and(|(former, _)| former == epoch);
        holds!(same == resumed, "{who} is told that its session is resumed: {resumed}");
        holds!(!same || former == Some((epoch, member)), "{who} was {former:?} and is {member} now");
    }

    fn stream(&mut self, who: Who, id: RoomId) -> &mut Stream {
        let stream = self.streams.get_mut(&(who, id));
        holds!(stream.is_some(), "{who} tells of a room that it is not in: {id:?}");
        stream.expect("it was looked at")
    }

    /// How many sealed repeats a client has dropped so far.
    pub(crate) fn drops_repeats(&mut self, who: Who, repeats: u64) {
        if repeats > 0 {
            self.repeats.entry(who).or_default().0 = repeats;
        }
    }

    /// Holes that sealed repeats may still have left.
    fn holes(&self, who: Who, room: RoomNumber) -> u64 {
        let (dropped, seen) = self.repeats.get(&who).copied().unwrap_or_default();
        if room == VAULT { dropped - seen } else { 0 }
    }

    /// Passes over what was a sealed repeat, up to `seq`.
    fn pass_repeats(&mut self, who: Who, id: RoomId, seq: u64) {
        let stream = self.stream(who, id);
        let (room, hole) = (stream.room, seq.saturating_sub(stream.next));
        if stream.epoch.is_some() && hole > 0 && hole <= self.holes(who, room) {
            self.repeats.entry(who).or_default().1 += hole;
            self.stream(who, id).next = seq;
        }
    }

    fn joined(&mut self, who: Who, id: RoomId, first: u64, head: u64) {
        let (epoch, _) = self.epochs[&who];
        if self.stream(who, id).epoch == Some(epoch) {
            self.pass_repeats(who, id, first);
        }
        let stream = self.stream(who, id);
        stream.is_in = true;
        if stream.epoch == Some(epoch) {
            holds!(stream.next == first, "I6: {who} was to be told {} and goes on with {first}", stream.next);
            return;
        }
        let is_again = stream.epoch.is_some();
        let wanted = head.saturating_sub(stream.history) + 1;
        holds!(is_again || first >= wanted, "{who} begins with {first} of {head} in {:?}", stream.room);
        stream.epoch = Some(epoch);
        (stream.first, stream.joined_head, stream.next, stream.gone) = (first, head, first, 0);
        stream.newest.clear();
    }

    /// Entry `seq` is told: it must be the next one. Returns the room and the epoch.
    fn next(&mut self, who: Who, id: RoomId, seq: u64) -> (RoomNumber, u64) {
        self.pass_repeats(who, id, seq);
        let stream = self.stream(who, id);
        holds!(
            stream.next == seq,
            "I2, I6: {who} was to be told {} of {:?} and is told {seq}",
            stream.next,
            stream.room
        );
        stream.next += 1;
        self.told += 1;
        let stream = self.stream(who, id);
        (stream.room, stream.epoch.expect("it has joined"))
    }

    /// Everybody is told the same of an entry.
    fn show(&mut self, key: (RoomNumber, u64), seq: u64, hash: u64) -> &mut Shown {
        let shown = self.shown.entry((key.1, key.0)).or_default();
        let known = *shown.entries.entry(seq).or_insert(hash);
        holds!(known == hash, "I3: entry {seq} of {key:?} is told in two ways");
        shown
    }

    fn presence(&mut self, who: Who, presence: &Presence<'_>) {
        let key = self.next(who, presence.room, presence.seq.0);
        let change = format!("{:?}", presence.change);
        let hash = digest((presence.member.0, presence.time_s, presence.name.as_ref(), change));
        self.show(key, presence.seq.0, hash);
    }

    fn message(&mut self, now: u64, who: Who, message: &Message<'_>) {
        let (room, epoch) = self.next(who, message.room, message.seq.0);
        let is_native = message.sseq.0 != 0;
        let text = if is_native { message.payload.as_ref() } else { without_name(&message.payload) };
        let id = parse(text);
        if id.is_none() && self.plain_names.contains(text) {
            // The network has doubled a plain join: its second copy is a line.
            let hash = digest((message.member.0, message.time_s, text));
            self.show((room, epoch), message.seq.0, hash);
            return;
        }
        holds!(id.is_some(), "I1: {who} is told what nobody said: {message:?}");
        let (author, number) = id.expect("it was looked at");
        let known = self.said.get(&author).and_then(|said| said.get(number));
        holds!(
            known.is_some_and(|said| said.text == text && said.to == To::Room(room)),
            "I1: {who} is told what {author} did not say in {room:?}: {message:?}"
        );
        if is_native {
            let member = self.members.get(&(epoch, message.member.0));
            holds!(member == Some(&author), "I1: what {author} said is told as of {member:?}");
            holds!(message.mine == (author == who), "{who} is told that it is the author: {}", message.mine);
            self.in_order(who, message.room, author, number);
        }
        let hash = digest((message.member.0, message.sseq.0, message.kind.0, message.time_s, text));
        let shown = self.show((room, epoch), message.seq.0, hash);
        if is_native {
            let place = *shown.places.entry((author, number)).or_insert(message.seq.0);
            holds!(place == message.seq.0, "I2: text {number} of {author} is entry {place} and {}", message.seq.0);
        }
        self.check_outcome(author, number, epoch, message.seq.0);
        self.count(now, who, author, number);
    }

    fn in_order(&mut self, who: Who, id: RoomId, author: Who, number: usize) {
        let newest = self.stream(who, id).newest.insert(author, number);
        holds!(newest < Some(number), "I4: {who} is told text {number} of {author} after {newest:?}");
    }

    /// What the author's client has told of a text that somebody is told.
    fn check_outcome(&self, author: Who, number: usize, epoch: u64, seq: u64) {
        match self.said[&author][number].outcome {
            Some(Outcome::Delivered { epoch: at, seq: Some(place) }) => {
                holds!(at != epoch || place == seq, "I5: text {number} of {author} is {seq}, and was {place}");
            }
            Some(Outcome::NotSent(NotSent::Unknown)) | Some(Outcome::Delivered { .. }) | None => {}
            Some(Outcome::NotSent(why)) => panic!("I1: text {number} of {author} is told, and was {why:?}"),
        }
    }

    fn count(&mut self, now: u64, who: Who, author: Who, number: usize) {
        let said = &self.said[&author][number];
        let Some(counting) = self.counting.as_mut().filter(|counting| said.at >= counting.since) else { return };
        let latencies = counting.latencies.entry(who).or_default();
        latencies.from_send.push(now - said.at);
        latencies.from_acceptance.push(now - said.accepted_at.unwrap_or(now));
    }

    /// Which room a client means.
    pub(super) fn room(&self, who: Who, id: RoomId) -> Option<RoomNumber> {
        self.streams.get(&(who, id)).map(|stream| stream.room)
    }

    fn gap(&mut self, who: Who, id: RoomId, from: u64, to: u64) {
        self.pass_repeats(who, id, from);
        let stream = self.stream(who, id);
        holds!(stream.next == from && from <= to, "I6: {who} was to be told {} and misses {from}..{to}", stream.next);
        stream.next = to + 1;
        stream.gone += to - from + 1;
        self.gaps += to - from + 1;
    }

    // ---- outcomes ------------------------------------------------------------------------

    fn settle(&mut self, who: Who, ticket: Ticket, outcome: Outcome) -> usize {
        let number = self.tickets.remove(&(who, ticket));
        holds!(number.is_some(), "{who} tells twice what became of {ticket:?}, now {outcome:?}");
        let number = number.expect("it was looked at");
        if let Some(said) = self.said.get_mut(&who) {
            said[number].outcome = Some(outcome);
        }
        number
    }

    fn delivered(&mut self, who: Who, ticket: Ticket, seq: Option<u64>) {
        let (epoch, _) = self.epochs[&who];
        let number = self.settle(who, ticket, Outcome::Delivered { epoch, seq });
        let To::Room(room) = self.said[&who][number].to else { panic!("a private message is no entry") };
        let place = self.shown.get(&(epoch, room)).and_then(|shown| shown.places.get(&(who, number)));
        let agree = seq.is_none() || place.is_none() || seq == place.copied();
        holds!(agree, "I5: text {number} of {who} is {place:?}, and acknowledged as {seq:?}");
        self.delivered += 1;
    }

    fn not_sent(&mut self, who: Who, ticket: Ticket, why: NotSent) {
        let number = self.settle(who, ticket, Outcome::NotSent(why));
        let is_told = self.shown.values().any(|shown| shown.places.contains_key(&(who, number)));
        holds!(why == NotSent::Unknown || !is_told, "I1: text {number} of {who} was told, and is {why:?}");
        self.not_sent += 1;
    }

    fn direct(&mut self, who: Who, direct: &Direct<'_>) {
        let Some((author, number)) = parse(&direct.payload) else { panic!("I1: {who} is told {direct:?}") };
        let (epoch, _) = self.epochs[&who];
        let member = self.members.get(&(epoch, direct.from.0));
        holds!(member == Some(&author), "I1: {author} said it and {member:?} is named");
        let said = self.said.get_mut(&author).and_then(|said| said.get_mut(number));
        let said = said.filter(|said| said.to == To::Member(who) && said.text == *direct.payload);
        holds!(said.is_some(), "I1: {who} is told what {author} did not say to it: {direct:?}");
        let said = said.expect("it was looked at");
        said.heard += 1;
        holds!(said.heard == 1, "I2: {who} is told twice: {direct:?}");
    }

    fn direct_done(&mut self, who: Who, ticket: Ticket, outcome: DirectOutcome) {
        let Some(number) = self.tickets.remove(&(who, ticket)) else { panic!("{who} tells twice of {ticket:?}") };
        let said = &self.said[&who][number];
        if outcome == DirectOutcome::Answered(DirectStatus::Delivered) {
            holds!(said.heard == 1, "I5: text {number} of {who} is confirmed, and told {} times", said.heard);
        }
    }

    // ---- at rest -------------------------------------------------------------------------

    /// Members that wait for something: nobody may, at rest. `head` knows how far a room is.
    pub(crate) fn behind(&self, head: impl Fn(RoomNumber) -> Option<u64>) -> Vec<String> {
        let streams = self.streams.iter().filter_map(|((who, _), stream)| {
            let head = head(stream.room);
            let holes = self.holes(*who, stream.room);
            let is_there =
                stream.is_in && head.is_some_and(|head| (stream.next..=stream.next + holes).contains(&(head + 1)));
            (!is_there).then(|| format!("{who} waits for {} of {head:?} in {}", stream.next, ROOMS[stream.room.0]))
        });
        // Who is gone confirms nothing, and its sender may take its time to give up.
        let can_end = |to: To| !matches!(to, To::Member(to) if self.vanished.contains(&to));
        let open = self.tickets.iter().filter(|((who, _), number)| can_end(self.said[who][**number].to));
        let open = open.map(|((who, _), number)| format!("text {number} of {who} is open"));
        streams.chain(open).collect()
    }

    pub(super) fn backlog(
        &self,
        head: impl Fn(RoomNumber) -> Option<u64>,
        bytes_from: impl Fn(RoomNumber, u64) -> u64,
    ) -> Backlog {
        let mut behind: BTreeMap<Who, u64> = BTreeMap::new();
        for ((who, _), stream) in &self.streams {
            let wanted = || (head(stream.room).unwrap_or(0) + 1).saturating_sub(stream.history);
            let from = if stream.is_in { stream.next } else { wanted() };
            *behind.entry(*who).or_default() += bytes_from(stream.room, from);
        }
        let mut open: BTreeMap<Who, (u64, u64)> = BTreeMap::new();
        for ((who, _), number) in &self.tickets {
            let texts = open.entry(*who).or_default();
            *texts = (texts.0 + 1, texts.1 + self.said[who][*number].text.len() as u64);
        }
        let accepted_later: u64 = open.values().map(|texts| texts.1).sum();
        Backlog {
            bytes: behind.into_values().max().unwrap_or(0) + accepted_later,
            texts: open.values().map(|texts| texts.0).max().unwrap_or(0),
            text_bytes: open.values().map(|texts| texts.1).max().unwrap_or(0),
        }
    }

    /// What a client was told first in a room, and how far the room was then.
    pub(crate) fn beginning(&self, who: Who, id: RoomId) -> Option<(u64, u64)> {
        let stream = self.streams.get(&(who, id)).filter(|stream| stream.is_in)?;
        Some((stream.first, stream.joined_head))
    }

    /// Texts that were acknowledged, those that were given up, and those of neither kind.
    pub(crate) fn outcomes(&self) -> (u64, u64, usize) {
        (self.delivered, self.not_sent, self.tickets.len())
    }

    pub(super) fn at_rest(&self, head: impl Fn(RoomNumber) -> Option<u64>) {
        let behind = self.behind(head);
        holds!(behind.is_empty(), "I5, I6: at rest {behind:?}");
        for ((who, _), stream) in &self.streams {
            self.has_its_own(*who, stream);
        }
    }

    /// An author that was there all the time has been told all that was acknowledged to it.
    fn has_its_own(&self, who: Who, stream: &Stream) {
        let (Some(epoch), 0) = (stream.epoch, stream.gone) else { return };
        let shown = self.shown.get(&(epoch, stream.room));
        for (number, said) in self.said.get(&who).into_iter().flatten().enumerate() {
            let delivered = matches!(said.outcome, Some(Outcome::Delivered { epoch: at, .. }) if at == epoch);
            let is_here = said.to == To::Room(stream.room) && said.at >= stream.since && delivered;
            let is_shown = shown.is_some_and(|shown| shown.places.contains_key(&(who, number)));
            holds!(!is_here || is_shown, "I5: text {number} of {who} was acknowledged, and is nowhere");
        }
    }
}
