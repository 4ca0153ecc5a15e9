//! Owns what the user's lines and keys do: commands, messages cut to what a
//! room takes, moves between rooms. Never reads a key.

use super::command::{Command, HELP, parse};
use super::model::{Asked, Model, Then, Verbs};
use super::tab::{Delivery, Tab, What};
use super::text::{cut, shown, without_controls};
use super::words;
use outcry::client::{MemberId, RoomId, RoomSpec, Unfit, sealed_text_bytes_max};
use outcry::config::LINE_BYTES_MAX;
use outcry::wire::header::{DIRECT_PAYLOAD_BYTES_MAX, MSG_PAYLOAD_BYTES_MAX};
use outcry::wire::plain::{NAME_BYTES_MAX, Name, SEPARATOR};

/// A name may get a number like `#12` behind it when the connection comes back.
const NAME_GROWS_BYTES: usize = 5;
/// Messages that wait in a room, beyond which what is said is not taken.
const WAITING_MAX: usize = 20_000;

impl Model {
    /// Goes into a room, which the user sees from now on.
    pub(super) fn join(&mut self, spec: RoomSpec, verbs: &dyn Verbs) -> Result<(), Unfit> {
        let (name, is_sealed) = (spec.name.clone(), spec.key.is_some());
        let room = verbs.join(spec)?;
        self.tabs.push(Tab::new(room, name, is_sealed));
        self.current = self.tabs.len() - 1;
        Ok(())
    }

    /// Does what the typed line says.
    pub(super) fn submit(&mut self, verbs: &dyn Verbs) {
        let line = self.editor.take();
        if let Some(tab) = self.tab_mut() {
            tab.anchor = None;
        }
        self.obey(&line, verbs);
    }

    /// Takes pasted text: whole lines are said as they are, the last part is left to be edited.
    pub(super) fn paste(&mut self, text: &str, verbs: &dyn Verbs) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines = text.split('\n');
        self.editor.insert(&without_controls(lines.next().unwrap_or_default()));
        for line in lines {
            let before = self.editor.take();
            self.say(&before, verbs);
            self.editor.insert(&without_controls(line));
        }
    }

    /// Does what a line says.
    pub(super) fn obey(&mut self, line: &str, verbs: &dyn Verbs) {
        match parse(line) {
            Command::Say(text) => self.say(text, verbs),
            Command::Join(room) => self.join_or_show(room, verbs),
            Command::Leave => self.leave(verbs),
            Command::Rooms => self.ask_rooms(verbs),
            Command::Who => self.with_room(|model, room| model.ask_members(room, Then::Show, verbs)),
            Command::Private { to, text } => self.say_to(to, text, verbs),
            Command::Nick(name) => self.ask_nick(name, verbs),
            Command::Ignore(name) => self.ignore(name),
            Command::Help => {
                HELP.iter().for_each(|(usage, what)| self.notice(format!("{usage:<16} {what}")));
                self.notice(words::KEYS);
            }
            Command::Quit => self.is_leaving = true,
            Command::Wrong(told) => self.warn(told),
        }
    }

    fn with_room(&mut self, what: impl FnOnce(&mut Self, RoomId)) {
        if let Some(room) = self.tab().map(|tab| tab.id) {
            what(self, room);
        }
    }

    fn warn(&mut self, told: impl Into<String>) {
        self.has_failed = true;
        if let Some(tab) = self.tab_mut() {
            tab.warn(told);
        }
    }

    // ---- saying --------------------------------------------------------------------------

    /// Says a line in the current room, in as many messages as it takes.
    pub(super) fn say(&mut self, line: &str, verbs: &dyn Verbs) {
        let line = without_controls(line);
        if line.trim().is_empty() {
            return;
        }
        let name = shown(self.name.as_bytes());
        let Some(bytes) = self.tab().map(|tab| self.message_bytes_max(tab)) else { return };
        let Some(tab) = self.tab_mut() else { return };
        for piece in cut(&line, bytes) {
            if tab.waiting() >= WAITING_MAX {
                tab.warn(words::TOO_MUCH);
                self.has_failed = true;
                break;
            }
            let what = What::Own { name: name.clone(), text: shown(piece.as_bytes()), delivery: Delivery::Sending };
            tab.wait(None, piece.to_owned(), what);
        }
        self.send_unsent(verbs);
    }

    /// What fits into one message in a room.
    fn message_bytes_max(&self, tab: &Tab) -> usize {
        if tab.is_sealed {
            return sealed_text_bytes_max(&self.wanted_name);
        }
        let longest = self.name.len().max(self.wanted_name.len()) + NAME_GROWS_BYTES;
        let in_lobby = LINE_BYTES_MAX - SEPARATOR.len() - longest.min(NAME_BYTES_MAX);
        if tab.is_lobby() { in_lobby } else { MSG_PAYLOAD_BYTES_MAX }
    }

    /// Hands over what waits, as far as the client takes it.
    pub(super) fn send_unsent(&mut self, verbs: &dyn Verbs) {
        for tab in &mut self.tabs {
            let room = tab.id;
            while let Some(waiting) = tab.first_unsent() {
                match verbs.send(room, waiting.raw.as_bytes()) {
                    Ok(ticket) => waiting.ticket = Some(ticket),
                    Err(Unfit::Full) => break,
                    Err(error) => {
                        self.has_failed = true;
                        tab.fail_unsent(&format!("not sent: {error}"));
                    }
                }
            }
        }
    }

    fn say_to(&mut self, to: &str, text: &str, verbs: &dyn Verbs) {
        let Some(current) = self.tab() else { return };
        let room = current.id;
        let known = current.members.find(to).or_else(|| self.tabs.iter().find_map(|tab| tab.members.find(to)));
        match known {
            Some(member) => self.say_to_member(room, member, to, text, verbs),
            None => {
                let then = Then::SayTo { name: to.to_owned(), text: text.to_owned() };
                self.ask_members(room, then, verbs);
            }
        }
    }

    pub(super) fn say_to_member(&mut self, room: RoomId, member: MemberId, name: &str, text: &str, verbs: &dyn Verbs) {
        let text = without_controls(text);
        for piece in cut(&text, DIRECT_PAYLOAD_BYTES_MAX) {
            match verbs.direct(member, piece.as_bytes()) {
                Ok(ticket) => {
                    let (name, text) = (shown(name.as_bytes()), shown(piece.as_bytes()));
                    let what = What::PrivateTo { name, text, delivery: Delivery::Sending };
                    let Some(tab) = self.room(room) else { return };
                    tab.wait(Some(ticket), piece.to_owned(), what);
                }
                Err(error) => return self.cannot(error),
            }
        }
    }

    // ---- rooms and names --------------------------------------------------------------------

    fn join_or_show(&mut self, room: &str, verbs: &dyn Verbs) {
        if let Some(at) = self.tabs.iter().position(|tab| tab.name == room && !tab.is_sealed) {
            self.current = at;
            return;
        }
        let spec = RoomSpec::open(room).with_history(self.history);
        if let Err(error) = self.join(spec, verbs) {
            self.cannot(error);
        }
    }

    fn leave(&mut self, verbs: &dyn Verbs) {
        if self.tabs.len() < 2 {
            return self.warn("this is your only room: /join another one first, or /quit");
        }
        self.with_room(|model, room| match verbs.leave(room) {
            Ok(()) => model.remove(room),
            Err(error) => model.cannot(error),
        });
    }

    fn ask_rooms(&mut self, verbs: &dyn Verbs) {
        self.with_room(|model, room| match verbs.list() {
            Ok(request) => model.asked.push((request, Asked::Rooms { room, found: Vec::new() })),
            Err(error) => model.cannot(error),
        });
    }

    fn ask_nick(&mut self, name: &str, verbs: &dyn Verbs) {
        if let Err(wrong) = Name::parse(name) {
            return self.warn(wrong.to_string());
        }
        let name = name.to_owned();
        self.with_room(|model, room| match verbs.nick(&name) {
            Ok(request) => model.asked.push((request, Asked::Nick { room, name })),
            Err(error) => model.cannot(error),
        });
    }

    fn ignore(&mut self, name: &str) {
        if name.is_empty() {
            let names: Vec<&str> = self.ignored.names.iter().map(String::as_str).collect();
            return self.notice(words::ignored(&names));
        }
        let known = self.tabs.iter().filter_map(|tab| tab.members.find(name));
        let known: Vec<MemberId> = known.collect();
        let told = shown(name.as_bytes());
        if self.ignored.names.remove(name) {
            known.iter().for_each(|member| _ = self.ignored.members.remove(member));
            self.notice(format!("{told} is heard again"));
        } else {
            self.ignored.names.insert(name.to_owned());
            self.ignored.members.extend(known);
            self.notice(format!("{told} is hidden from now on; /ignore {told} shows them again"));
        }
    }

    // ---- between rooms -----------------------------------------------------------------------

    /// Shows the room so many places to the right of this one.
    pub(super) fn turn(&mut self, places: usize) {
        if !self.tabs.is_empty() {
            self.current = (self.current + places) % self.tabs.len();
        }
    }

    /// Shows the room to the left of this one.
    pub(super) fn turn_back(&mut self) {
        self.turn(self.tabs.len().saturating_sub(1));
    }
}
