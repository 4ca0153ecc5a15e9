//! Owns how a setting's value is written: one spelling for flags and files,
//! and one message for a wrong one, which says what would be right. Never
//! knows which setting it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// What would have been right.
#[derive(Clone, Debug, Error)]
#[error("expected {0}")]
pub(super) struct WrongValue(String);

fn wrong<T>(expected: impl Into<String>) -> Result<T, WrongValue> {
    Err(WrongValue(expected.into()))
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bind(pub(super) SocketAddr);

impl FromStr for Bind {
    type Err = WrongValue;

    fn from_str(text: &str) -> Result<Self, WrongValue> {
        let Ok(addr) = text.parse::<SocketAddr>() else {
            return wrong("an IP address with a port, like 127.0.0.1:9999, 0.0.0.0:9999 or [::]:9999");
        };
        let ip = addr.ip().to_canonical();
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return wrong("an address of this machine, not of a group: 0.0.0.0 and [::] stand for all of them");
        }
        Ok(Self(addr))
    }
}

impl Display for Bind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A whole number from 0 (no limit) to `LARGEST`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Count<const LARGEST: u32>(pub(super) u32);

impl<const LARGEST: u32> FromStr for Count<LARGEST> {
    type Err = WrongValue;

    fn from_str(text: &str) -> Result<Self, WrongValue> {
        match text.parse() {
            Ok(count) if count <= LARGEST => Ok(Self(count)),
            _ => wrong(format!("a whole number from 1 to {LARGEST}, or 0 for no limit")),
        }
    }
}

impl<const LARGEST: u32> Serialize for Count<LARGEST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const LARGEST: u32> Deserialize<'de> for Count<LARGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_scalar(deserializer)
    }
}

/// Bytes, from `SMALLEST` to `LARGEST`; a `SMALLEST` of 0 means that 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size<const SMALLEST: u32, const LARGEST: u32>(pub(super) u32);

/// The units of sizes, largest first.
const SIZE_UNITS: [(char, u32); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

fn parse_size(text: &str) -> Option<u32> {
    let unit = text.chars().last().map(|last| last.to_ascii_uppercase());
    let factor = SIZE_UNITS.iter().find(|(letter, _)| Some(*letter) == unit).map(|(_, factor)| *factor);
    let digits = if factor.is_some() { &text[..text.len() - 1] } else { text };
    digits.parse::<u32>().ok()?.checked_mul(factor.unwrap_or(1))
}

/// In the largest unit that divides it.
fn show_size(bytes: u32) -> String {
    let unit = SIZE_UNITS.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    unit.map_or(bytes.to_string(), |(letter, factor)| format!("{}{letter}", bytes / factor))
}

impl<const SMALLEST: u32, const LARGEST: u32> FromStr for Size<SMALLEST, LARGEST> {
    type Err = WrongValue;

    fn from_str(text: &str) -> Result<Self, WrongValue> {
        if let Some(bytes) = parse_size(text).filter(|bytes| (SMALLEST..=LARGEST).contains(bytes)) {
            return Ok(Self(bytes));
        }
        let (smallest, largest) = (show_size(SMALLEST.max(1)), show_size(LARGEST));
        let or = if SMALLEST == 0 { ", or 0 for no limit" } else { "" };
        wrong(format!("a number of bytes, like 500000, 64K or 8M, from {smallest} to {largest}{or}"))
    }
}

impl<const SMALLEST: u32, const LARGEST: u32> Display for Size<SMALLEST, LARGEST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&show_size(self.0))
    }
}

/// A time in ms, from `SMALLEST` to `LARGEST`, or 0 for never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span<const SMALLEST: u64, const LARGEST: u64>(pub(super) u64);

/// The units of times in ms, largest first.
const SPAN_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

fn parse_span(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let (_, factor) = SPAN_UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..])?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// In the largest unit that divides it.
fn show_span(ms: u64) -> String {
    let unit = SPAN_UNITS.iter().find(|(_, factor)| ms != 0 && ms.is_multiple_of(*factor));
    unit.map_or("0".to_owned(), |(unit, factor)| format!("{}{unit}", ms / factor))
}

impl<const SMALLEST: u64, const LARGEST: u64> FromStr for Span<SMALLEST, LARGEST> {
    type Err = WrongValue;

    fn from_str(text: &str) -> Result<Self, WrongValue> {
        match parse_span(text) {
            Some(ms) if ms == 0 || (SMALLEST..=LARGEST).contains(&ms) => Ok(Self(ms)),
            _ => wrong(format!(
                "a time with its unit, like 90s, 5m or 2h, from {} to {}, or 0 for never",
                show_span(SMALLEST),
                show_span(LARGEST)
            )),
        }
    }
}

impl<const SMALLEST: u64, const LARGEST: u64> Display for Span<SMALLEST, LARGEST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&show_span(self.0))
    }
}

/// On or off; a file may also say true or false.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Switch(pub(super) bool);

impl FromStr for Switch {
    type Err = WrongValue;

    fn from_str(text: &str) -> Result<Self, WrongValue> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => wrong("on or off"),
        }
    }
}

impl Display for Switch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0 { "on" } else { "off" })
    }
}

/// For serde: values that stand in a file as they do after a flag.
pub(super) mod text {
    use super::{Deserializer, Display, FromStr, Serializer, from_scalar};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        from_scalar(deserializer).map(Some)
    }
}

/// Reads a file's text, number or truth value as a flag's text would be read.
fn from_scalar<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Scalar(PhantomData))
}

struct Scalar<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> de::Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a list or a table is told: the same as a wrong text.
        match "".parse::<T>() {
            Ok(_) => out.write_str("a text"),
            Err(hint) => write!(out, "{}", hint.to_string().trim_start_matches("expected ")),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&format!("{number:?}"))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<T, E> {
        self.visit_str(&truth.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Time = Span<1000, 86_400_000>;
    type Buffer = Size<4096, 536_870_912>;
    type Bytes = Size<0, 1_000_000_000>;

    #[test]
    fn times_are_read_and_shown_in_the_largest_unit() {
        let cases = [
            ("0", 0, "0"),
            ("90s", 90_000, "90s"),
            ("120s", 120_000, "2m"),
            ("1d", 86_400_000, "1d"),
            ("1500ms", 1500, "1500ms"),
        ];
        for (text, ms, shown) in cases {
            let span: Time = text.parse().unwrap();
            assert_eq!((span.0, span.to_string().as_str()), (ms, shown));
        }
        assert_eq!("0s".parse::<Time>().unwrap().0, 0);
    }

    #[test]
    fn wrong_times_say_what_is_right() {
        let hint = "expected a time with its unit, like 90s, 5m or 2h, from 1s to 1d, or 0 for never";
        for text in ["", "90", "s", "-1s", "1.5s", "1 s", "5M", "999ms", "25h", "99999999999999999999s", "９s"] {
            assert_eq!(text.parse::<Time>().unwrap_err().to_string(), hint, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown_in_the_largest_unit() {
        let cases = [("8M", 8 << 20, "8M"), ("8388608", 8 << 20, "8M"), ("64k", 65_536, "64K"), ("5000", 5000, "5000")];
        for (text, bytes, shown) in cases {
            let size: Buffer = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown));
        }
        assert_eq!("0".parse::<Bytes>().unwrap().to_string(), "0");
    }

    #[test]
    fn wrong_sizes_say_what_is_right() {
        let hint = "expected a number of bytes, like 500000, 64K or 8M, from 4K to 512M";
        for text in ["", "M", "4095", "513M", "8MB", "-8M", "99G", "八M", "8八"] {
            assert_eq!(text.parse::<Buffer>().unwrap_err().to_string(), hint, "{text:?}");
        }
        assert!("x".parse::<Bytes>().unwrap_err().to_string().ends_with("or 0 for no limit"));
    }

    #[test]
    fn group_addresses_are_refused() {
        for text in ["224.0.0.1:9999", "255.255.255.255:9999", "[ff02::1]:9999", "[::ffff:224.0.0.1]:9"] {
            assert!(text.parse::<Bind>().unwrap_err().to_string().contains("of this machine"), "{text}");
        }
    }
}
