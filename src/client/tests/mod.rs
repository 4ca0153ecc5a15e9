//! The client against a scripted relay, in virtual time: the rules of the
//! protocol's page, one by one.

mod entries;
mod handshake;
mod messages;
mod peer;

use peer::{Peer, ms};
