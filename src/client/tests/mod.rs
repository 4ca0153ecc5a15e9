//! The client against a scripted relay, in virtual time: the rules of the
//! protocol's page, one by one.

mod entries;
mod handshake;
mod lifecycle;
mod liveness;
mod messages;
mod peer;
mod rooms;

use peer::{Peer, ms};
