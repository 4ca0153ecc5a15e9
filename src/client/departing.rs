//! Owns what the next datagram says: the HELLO, or all frames that are due, as
//! many as fit. Never takes one in.

use super::Client;
use super::requests::{Ask, Request, Whom};
use super::room::Room;
use super::rtt::Rtt;
use crate::Time;
use crate::wire::header::{Code, FRAME_OVERHEAD};
use crate::wire::id::MemberId;
use crate::wire::uplink::{Builder, Frame, RANGE_BYTES, RANGES_MAX, Ranges, SeqRange};

/// Bytes of the longest NACK.
const NACK_BYTES_MAX: usize = FRAME_OVERHEAD + 3 + RANGES_MAX * RANGE_BYTES;
/// Bytes of a REPORT.
const REPORT_BYTES: usize = FRAME_OVERHEAD + 24;

/// Whether the datagram has place for more; `None`: something did not fit.
type Fits = Option<()>;

fn push(builder: &mut Builder<'_>, frame: &Frame<'_>) -> Fits {
    builder.push(frame).then_some(())
}

impl Client {
    pub(super) fn depart(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        if self.is_over {
            return self.write_close(now, out);
        }
        let hello = self.hello.as_mut();
        let len = hello.and_then(|hello| hello.write(now, &self.options, self.instance, out));
        len.or_else(|| self.write_session(now, out))
    }

    fn write_close(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let closing = self.closing.as_mut()?;
        closing.due().filter(|due| *due <= now)?;
        let mut builder = Builder::session(out, closing.scid, closing.pn);
        push(&mut builder, &Frame::Close { code: Code::Ok, reason: "" })?;
        closing.sent();
        Some(builder.finish())
    }

    fn write_session(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let session = self.session.as_ref()?;
        let mut builder = Builder::session(out, session.scid, session.pn);
        // Full or not: what did not fit goes into the next one.
        _ = self.write_frames(now, &mut builder);
        if builder.is_empty() {
            return None;
        }
        self.session.iter_mut().for_each(|session| session.sent(now));
        Some(builder.finish())
    }

    fn write_frames(&mut self, now: Time, builder: &mut Builder<'_>) -> Fits {
        self.write_signs_of_life(now, builder)?;
        self.write_requests(now, builder)?;
        self.write_receipts(now, builder)?;
        self.directs.write(now, &self.rtt, |frame| builder.push(frame))?;
        self.write_messages(now, builder)
    }

    fn write_signs_of_life(&mut self, now: Time, builder: &mut Builder<'_>) -> Fits {
        let session = self.session.as_mut()?;
        if let Some(token) = session.token {
            push(builder, &Frame::PathResponse { token })?;
            session.token = None;
        }
        if let Some(t) = session.due_ping(now) {
            push(builder, &Frame::Ping { t })?;
            session.ping_sent(now, &self.rtt);
        }
        Some(())
    }

    fn write_requests(&mut self, now: Time, builder: &mut Builder<'_>) -> Fits {
        while let Some(request) = self.requests.peek(now, |id| self.is_joined(id)) {
            let req = request.req;
            if let Some(frame) = frame_of(request, &self.rooms) {
                push(builder, &frame)?;
            }
            self.requests.sent(now, req, &self.rtt);
        }
        Some(())
    }

    /// What is missing, and how it goes.
    fn write_receipts(&mut self, now: Time, builder: &mut Builder<'_>) -> Fits {
        let before = self.counts.nacks;
        let mut fits = Some(());
        for room in self.rooms.iter_mut().filter(|room| room.is_joined()) {
            fits = write_room_receipts(now, room, &self.rtt, builder, &mut self.counts.nacks);
            if fits.is_none() {
                break;
            }
        }
        if self.counts.nacks > before {
            self.session.iter_mut().for_each(|session| session.asked(now));
        }
        fits
    }

    fn write_messages(&mut self, now: Time, builder: &mut Builder<'_>) -> Fits {
        let window = self.session.as_ref()?.window;
        let mut in_flight: usize = self.rooms.iter().map(|room| room.sending.in_flight()).sum();
        for room in self.rooms.iter_mut().filter(|room| room.is_joined()) {
            let Some(place) = room.place else { continue };
            let before = room.sending.in_flight();
            let others = in_flight - before;
            loop {
                let used = others + room.sending.in_flight();
                let left = window.saturating_sub(used);
                let Some((sseq, kind, payload)) = room.sending.peek(now, left, used == 0) else { break };
                push(builder, &Frame::Msg { room: place.handle, kind, sseq, payload })?;
                self.counts.resends += u64::from(room.sending.sent(now, &self.rtt));
            }
            in_flight = others + room.sending.in_flight();
        }
        Some(())
    }
}

fn write_room_receipts(now: Time, room: &mut Room, rtt: &Rtt, builder: &mut Builder<'_>, nacks: &mut u64) -> Fits {
    let (Some(place), Some(receiving)) = (room.place, &mut room.receiving) else { return Some(()) };
    if receiving.due().is_none_or(|due| due > now) {
        return Some(());
    }
    loop {
        (builder.room_left() >= NACK_BYTES_MAX + REPORT_BYTES).then_some(())?;
        let mut asks = [SeqRange::default(); RANGES_MAX];
        let count = receiving.take_asks(now, rtt, &mut asks);
        if count == 0 {
            break;
        }
        *nacks += 1;
        let mut bytes = [[0; RANGE_BYTES]; RANGES_MAX];
        push(builder, &Frame::Nack { room: place.handle, ranges: Ranges::encode(&asks[..count], &mut bytes) })?;
    }
    match receiving.take_report(now, place.handle) {
        Some(report) => push(builder, &report),
        None => Some(()),
    }
}

/// A question as it is asked; `None`: its room is not there any more.
fn frame_of<'a>(request: &'a Request, rooms: &'a [Room]) -> Option<Frame<'a>> {
    let room_of = |id| rooms.iter().find(|room| room.id == id);
    let req = request.req;
    Some(match &request.ask {
        Ask::Join(id) => {
            let spec = &room_of(*id)?.spec;
            let (sealed, unlisted) = (spec.key.is_some(), !spec.listed);
            Frame::Join { req, sealed, unlisted, key_id: spec.key_id(), room: &spec.name }
        }
        Ask::Leave(_, room) => Frame::Leave { req, room: *room },
        Ask::Nick(name) => Frame::Nick { req, name },
        Ask::Who { room, cursor, whom } => {
            let place = room_of(*room)?.place?;
            let member = if let Whom::One(member) = whom { *member } else { MemberId(0) };
            Frame::Who { req, room: place.handle, cursor: *cursor, member }
        }
        Ask::List { cursor } => Frame::List { req, cursor: *cursor },
    })
}
