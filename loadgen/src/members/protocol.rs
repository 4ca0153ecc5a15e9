//! What targets speak, and how members of each kind are opened.

use super::tcp::{self, mqtt::Mqtt, nats::Nats, redis::Redis};
use super::{Options, Sockets, Transport, Venue, native::Native};
use clap::ValueEnum;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a target speaks. One room each: a subject, a channel, a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// UDP text datagrams: this workspace's relay, and anything like it.
    #[default]
    Plain,
    /// This workspace's relay, its native protocol over UDP: one order, no loss.
    Native,
    /// NATS core: a TCP connection per member, CONNECT with echo off.
    Nats,
    /// Redis PUBLISH and SUBSCRIBE: a connection per member, one more per sender.
    Redis,
    /// MQTT 5, QoS 0, no-local subscriptions: a TCP connection per member.
    Mqtt,
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Plain => "plain",
            Self::Native => "native",
            Self::Nats => "nats",
            Self::Redis => "redis",
            Self::Mqtt => "mqtt",
        })
    }
}

impl Protocol {
    /// Whether members are UDP sockets, their own or shared.
    pub fn is_udp(self) -> bool {
        matches!(self, Self::Plain | Self::Native)
    }

    /// What cannot be made of `members` with `sockets`, and what could.
    pub fn refuses(self, sockets: Sockets, gro: bool, members: u32, rx_threads: u32) -> Option<String> {
        if self.is_udp() {
            return (!sockets.fits(members, rx_threads)).then(|| sockets.bounds(rx_threads));
        }
        if gro {
            return Some(format!("--gro is for UDP; --protocol {self} is over TCP"));
        }
        if matches!(sockets, Sockets::Shared(_)) {
            return Some(format!("--protocol {self} takes a TCP connection per member: leave --sockets out"));
        }
        (members > tcp::MEMBERS_MAX)
            .then(|| format!("--protocol {self} takes at most {} members, a connection each", tcp::MEMBERS_MAX))
    }

    /// Opens `members` towards `target`; those in `speakers` will send.
    pub fn open(
        self,
        sockets: Sockets,
        target: SocketAddr,
        members: u32,
        speakers: &[u32],
        options: Options,
        venue: &Venue,
    ) -> Result<Arc<dyn Transport>, String> {
        Ok(match self {
            Self::Plain => sockets.open(target, members, options)?,
            Self::Native => Arc::new(Native::new(sockets.open(target, members, options)?, venue)),
            Self::Nats => Arc::new(tcp::Connections::<Nats>::open(target, members, speakers, options.receive_buffer)?),
            Self::Redis => {
                Arc::new(tcp::Connections::<Redis>::open(target, members, speakers, options.receive_buffer)?)
            }
            Self::Mqtt => Arc::new(tcp::Connections::<Mqtt>::open(target, members, speakers, options.receive_buffer)?),
        })
    }

    /// A message as the target writes it to a member over TCP; bare over UDP.
    pub fn frame_copy(self, message: &[u8], out: &mut Vec<u8>) {
        use tcp::Codec;
        match self {
            Self::Plain | Self::Native => out.extend_from_slice(message),
            Self::Nats => Nats::copy(message, out),
            Self::Redis => Redis::copy(message, out),
            Self::Mqtt => Mqtt::copy(message, out),
        }
    }
}
