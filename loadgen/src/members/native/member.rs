//! One native member: its client, what becomes of what the client tells, and
//! when it wants to be looked at. Knows no socket.

use super::deadlines::NEVER;
use super::figures::NativeFigures;
use crate::members::Sink;
use outcry::Time;
use outcry::client::{Client, DATAGRAM_BYTES, End, Event, Options, RoomId, RoomSpec, Unfit};

/// A member, in or not.
#[derive(Default)]
pub(super) struct Member {
    client: Option<Client>,
    room: Option<RoomId>,
    told: NativeFigures,
    /// When its receiving thread looks at it, as that knows.
    pub(super) scheduled: u64,
    /// The receiving thread is about to learn that this is too late.
    pub(super) noted: bool,
}

impl Member {
    /// Whether a join would change nothing.
    pub(super) fn is_in(&self) -> bool {
        self.room.is_some() && self.client.as_ref().is_some_and(|client| !client.is_over())
    }

    /// A new client that wants into `room`. What the one before counted stays counted.
    pub(super) fn join(&mut self, now: Time, who: Options, room: RoomSpec, seed: [u8; 32]) -> Result<(), Unfit> {
        self.retire(now);
        let mut client = Client::new(who, seed, now)?;
        self.room = Some(client.join(now, room)?);
        self.client = Some(client);
        Ok(())
    }

    fn retire(&mut self, now: Time) {
        if let Some(client) = &mut self.client {
            client.close(now);
        }
        self.tell(0, 0, &mut Nobody);
        self.client.iter().for_each(|client| self.told.count(client.counts()));
        (self.client, self.room) = (None, None);
    }

    pub(super) fn leave(&mut self, now: Time) {
        self.room = None;
        self.client.iter_mut().for_each(|client| client.close(now));
    }

    pub(super) fn send(&mut self, now: Time, message: &[u8]) -> Result<(), Unfit> {
        let (Some(client), Some(room)) = (&mut self.client, self.room) else { return Err(Unfit::NoRoom) };
        client.send(now, room, message).map(drop)
    }

    pub(super) fn take(&mut self, now: Time, datagram: &[u8]) {
        self.client.iter_mut().for_each(|client| client.handle_datagram(now, datagram));
    }

    pub(super) fn do_what_is_due(&mut self, now: Time) {
        self.client.iter_mut().for_each(|client| client.handle_deadline(now));
    }

    /// The next datagram to send.
    pub(super) fn transmit(&mut self, now: Time, out: &mut [u8; DATAGRAM_BYTES]) -> Option<usize> {
        self.client.as_mut()?.poll_transmit(now, out)
    }

    /// When it wants to be looked at, in ns of its clock.
    pub(super) fn due(&self) -> u64 {
        self.client.as_ref().and_then(Client::next_deadline).map_or(NEVER, Time::nanos)
    }

    /// Hands over what the client tells: messages of others as copies that
    /// arrived at `at`. Returns how many events there were that say something
    /// of a room's entries, and why the client has ended, if it has.
    pub(super) fn tell(&mut self, number: u32, at: u64, sink: &mut dyn Sink) -> (u64, Option<String>) {
        let (mut entries, mut complaint) = (0, None);
        let Some(client) = &mut self.client else { return (0, None) };
        while let Some(event) = client.poll_event() {
            sink.event(number, at, &event);
            match event {
                Event::Message(message) => {
                    entries += 1;
                    if !message.mine {
                        sink.take(number, at, &message.payload);
                    }
                }
                Event::Gap { from, to, .. } => self.told.gone += to.0 - from.0 + 1,
                Event::Delivered { .. } => self.told.accepted += 1,
                Event::NotSent { .. } => self.told.not_sent += 1,
                Event::Slow { .. } => self.told.slowed += 1,
                Event::Reconnecting { .. } => self.told.reconnects += 1,
                Event::Refused { code, .. } => complaint = Some(format!("refused for now ({code:?})")),
                Event::JoinFailed { code, .. } => {
                    self.room = None;
                    complaint = Some(format!("not let into the room ({code:?})"));
                }
                Event::Closed { why: End::Done, .. } => {}
                Event::Closed { why, reason } => complaint = Some(format!("closed ({why:?}) {reason}")),
                _ => {}
            }
        }
        (entries, complaint)
    }

    /// All that was counted so far.
    pub(super) fn figures(&self) -> NativeFigures {
        let mut figures = self.told;
        if let Some(client) = &self.client {
            figures.count(client.counts());
            figures.open = self.room.map_or(0, |room| client.unacknowledged(room) as u64);
        }
        figures
    }
}

/// Takes nothing.
struct Nobody;

impl Sink for Nobody {
    fn take(&mut self, _: u32, _: u64, _: &[u8]) {}
}
