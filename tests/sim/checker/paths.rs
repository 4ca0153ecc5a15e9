//! Owns I8: what each address has proven, what came from it and what went to it.

use super::holds;
use outcry::wire::downlink::{Downlink, Frame};
use outcry::wire::uplink::{self, Uplink};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What is known of an address.
#[derive(Default)]
struct Address {
    heard: (u64, u64),
    answered: (u64, u64),
    /// Cookies and path tokens that went there.
    cookies: BTreeSet<[u8; 24]>,
    tokens: BTreeSet<u64>,
    /// One of them came back from there, or a plain join, which is believed on loopback.
    is_proven: bool,
}

/// All addresses that one relay process has to do with.
#[derive(Default)]
pub(super) struct Paths(BTreeMap<SocketAddr, Address>);

impl Paths {
    pub(super) fn relay_hears(&mut self, from: SocketAddr, bytes: &[u8]) {
        let address = self.0.entry(from).or_default();
        address.heard.0 += 1;
        address.heard.1 += bytes.len() as u64;
        match Uplink::parse(bytes) {
            Ok(Uplink::Hello(hello)) => address.is_proven |= address.cookies.contains(&hello.cookie.0),
            Ok(Uplink::Session(session)) => {
                let proves =
                    |frame| matches!(frame, uplink::Frame::PathResponse { token } if address.tokens.contains(&token.0));
                let is_proven = session.frames.clone().any(proves);
                address.is_proven |= is_proven;
            }
            Err(_) => address.is_proven |= bytes.first() != Some(&super::NATIVE),
        }
    }

    pub(super) fn relay_sends(&mut self, to: SocketAddr, len: usize, native: Option<&[u8]>) {
        let address = self.0.get_mut(&to);
        holds!(address.is_some(), "I8: the relay sends to {to}, which it has never heard of");
        let address = address.expect("it was looked at");
        if address.is_proven {
            return address.remember(native);
        }
        address.answered.0 += 1;
        address.answered.1 += len as u64;
        let (heard, answered) = (address.heard, address.answered);
        holds!(
            answered.0 <= heard.0 && answered.1 <= heard.1,
            "I8: {to} has proven nothing and sent {heard:?} datagrams and bytes, and was sent {answered:?}"
        );
        let is_welcome = matches!(native.map(Downlink::parse), Some(Ok(Downlink::Welcome(_))));
        holds!(!is_welcome, "I8: WELCOME to {to}, which has proven nothing");
        address.remember(native);
    }
}

impl Address {
    fn remember(&mut self, native: Option<&[u8]>) {
        // What goes to a room holds neither, and is most of all.
        let Some(bytes) = native.filter(|bytes| bytes[3] != 0x91) else { return };
        match Downlink::parse(bytes) {
            Ok(Downlink::Retry(retry)) => _ = self.cookies.insert(retry.cookie.0),
            Ok(Downlink::ToClient { frames, .. }) => self.tokens.extend(frames.filter_map(|frame| match frame {
                Frame::PathChallenge { token } => Some(token.0),
                _ => None,
            })),
            _ => {}
        }
    }
}
