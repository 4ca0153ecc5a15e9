//! Reading and writing numbers and names in order, little-endian. Never knows
//! what they mean, never reads or writes over the end.

use super::header::{FRAME_OVERHEAD, Malformed, NAME_BYTES_MAX};
use std::str;

/// What is left to read. What is missing is [`Malformed::Frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Frame)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Frame)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// There is none.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// There are fewer.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The name that comes next, its length before it.
    ///
    /// # Errors
    /// There is none, or it is none: see [`name`].
    pub fn name(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u8()?;
        name(self.slice(len.into())?)
    }

    /// The same, but it may be empty.
    ///
    /// # Errors
    /// As [`name`](Self::name).
    pub fn name_or_none(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u8()?;
        short_text(self.slice(len.into())?)
    }

    /// That nothing is left: a body has the length that its fields need.
    ///
    /// # Errors
    /// Something is.
    pub fn end(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed::Frame) }
    }

    /// The type and body of the next frame; `None` at the end, or where padding begins.
    ///
    /// # Errors
    /// The frame is longer than what is left.
    pub fn frame(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        let [kind, low, high, rest @ ..] = self.rest else {
            return if matches!(self.rest, [] | [0, ..]) { Ok(None) } else { Err(Malformed::Overrun) };
        };
        if *kind == 0 {
            return Ok(None);
        }
        let len = u16::from_le_bytes([*low, *high]);
        let (body, rest) = rest.split_at_checked(len.into()).ok_or(Malformed::Overrun)?;
        self.rest = rest;
        Ok(Some((*kind, body)))
    }
}

/// A name of a member or room: 1 to 64 bytes of UTF-8 without control characters.
///
/// # Errors
/// It is none.
pub fn name(bytes: &[u8]) -> Result<&str, Malformed> {
    if bytes.is_empty() { Err(Malformed::Name) } else { short_text(bytes) }
}

/// A reason: as a name, or nothing.
///
/// # Errors
/// It is none.
pub fn short_text(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = str::from_utf8(bytes).map_err(|_| Malformed::Name)?;
    let is_short = bytes.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control);
    is_short.then_some(text).ok_or(Malformed::Name)
}

/// A buffer that is filled from its beginning. What does not fit is not
/// written, and marks the frame that it belongs to as not fitting.
#[derive(Debug)]
pub struct Writer<'b> {
    bytes: &'b mut [u8],
    len: usize,
    overrun: bool,
}

impl<'b> Writer<'b> {
    /// Writes into `bytes` from their beginning.
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self { bytes, len: 0, overrun: false }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether something did not fit.
    pub fn is_overrun(&self) -> bool {
        self.overrun
    }

    /// Bytes that still fit.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// Writes bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        match self.bytes[self.len..].get_mut(..bytes.len()) {
            Some(place) if !self.overrun => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.overrun = true,
        }
    }

    /// Writes one byte.
    pub fn u8(&mut self, number: u8) {
        self.put(&[number]);
    }

    /// Writes two bytes.
    pub fn u16(&mut self, number: u16) {
        self.put(&number.to_le_bytes());
    }

    /// Writes four bytes.
    pub fn u32(&mut self, number: u32) {
        self.put(&number.to_le_bytes());
    }

    /// Writes eight bytes.
    pub fn u64(&mut self, number: u64) {
        self.put(&number.to_le_bytes());
    }

    /// Writes a name and its length before it. One over 64 bytes does not fit anywhere.
    pub fn name(&mut self, name: &str) {
        match u8::try_from(name.len()) {
            Ok(len) if name.len() <= NAME_BYTES_MAX => {
                self.u8(len);
                self.put(name.as_bytes());
            }
            _ => self.overrun = true,
        }
    }

    /// Writes text that ends with its frame. One over `max` bytes does not fit anywhere.
    pub(super) fn text(&mut self, text: &str, max: usize) {
        if text.len() <= max { self.put(text.as_bytes()) } else { self.overrun = true }
    }

    /// Writes a frame whose body `body` writes, or nothing at all if it does not fit.
    pub fn frame(&mut self, kind: u8, body: impl FnOnce(&mut Self)) -> bool {
        self.whole(|writer| {
            let start = writer.len;
            writer.put(&[kind, 0, 0]);
            body(writer);
            writer.seal_frame(start);
        })
    }

    /// Writes all that `put` writes, or nothing at all if it does not fit.
    pub(super) fn whole(&mut self, put: impl FnOnce(&mut Self)) -> bool {
        let start = self.len;
        put(self);
        let fits = !std::mem::take(&mut self.overrun);
        if !fits {
            self.len = start;
        }
        fits
    }

    /// Gives the frame that began at `start` the length that its body has by now.
    pub(super) fn seal_frame(&mut self, start: usize) {
        match u16::try_from(self.len.saturating_sub(start + FRAME_OVERHEAD)) {
            Ok(len) => self.overwrite(start + 1, &len.to_le_bytes()),
            Err(_) => self.overrun = true,
        }
    }

    /// Writes over what was written at `at`, unless something did not fit.
    pub(super) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if !self.overrun {
            self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Fills with zeros until `len` bytes are written, or the buffer is full.
    pub fn pad_to(&mut self, len: usize) {
        let end = len.min(self.bytes.len());
        if end > self.len {
            self.bytes[self.len..end].fill(0);
            self.len = end;
        }
    }
}
