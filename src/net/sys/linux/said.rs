//! Owns a way to what reads control messages that needs no kernel, for fuzzing
//! from outside of the crate. Never used by what is shipped.

#![deny(unsafe_code)]

use super::error_queue::{self, CONTROL_LEN, Report};
use super::pktinfo;
use crate::net::sys::cmsg::Control;
use std::net::IpAddr;

/// What is read of control messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Level, type and data of each.
    pub messages: Vec<(i32, i32, Vec<u8>)>,
    /// Which of our addresses the datagram was sent to.
    pub local: Option<IpAddr>,
    /// Whether they report that a peer is not there.
    pub is_unreachable: bool,
}

/// What `bytes` say, of which the kernel claims to have written `len`.
pub fn said(bytes: &[u8], len: usize) -> Said {
    let control = Control::<CONTROL_LEN>::of(bytes);
    let messages = || control.messages(len);
    Said {
        messages: messages().map(|message| (message.level, message.kind, message.data.to_vec())).collect(),
        local: messages().find_map(|message| pktinfo::read(&message)),
        is_unreachable: messages().find_map(|message| error_queue::read(&message)) == Some(Report::Unreachable),
    }
}
