//! Where lost copies went: who dropped them, as far as anybody tells.

use crate::machine::page::{Cause, Growth, sum};
use crate::measure::Measurement;
use crate::units::show_count;
use serde::{Deserialize, Serialize};

/// What is known of the server's drops.
#[derive(Clone, Debug, Default)]
pub struct ServerDrops {
    /// Datagrams dropped at its socket, by the kernel of this host.
    pub socket: u64,
    /// Messages that were sent and that it says it never read.
    pub unheard: u64,
    /// What its own counters say.
    pub counted: Vec<Growth>,
}

/// Where lost copies went. The parts add up to `lost`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Copies expected and not delivered.
    pub lost: u64,
    /// The same as a share of those expected.
    pub ratio: f64,
    /// Dropped at the generator's sockets.
    pub generator_socket: u64,
    /// Never read by the server: its socket was full. Seen on one host, or told by the server.
    pub server_socket: u64,
    /// Of messages that the server says it refused: limits, rates, bad text.
    #[serde(default)]
    pub server_policy: u64,
    /// Not taken by the server's kernel, as the server says.
    #[serde(default)]
    pub server_sending: u64,
    /// Of messages that nobody got, that no socket dropped and of which nobody says why.
    pub server_refused: u64,
    /// The rest.
    pub unexplained: u64,
    /// The server's own counters that grew.
    #[serde(default)]
    pub server_counters: Vec<Growth>,
}

impl Loss {
    /// A message that nobody got was not relayed; a copy that one lacks was
    /// lost on the way. Each cause explains at most what is left.
    pub(super) fn attribute(run: &Measurement, generator_drops: u64, server: ServerDrops) -> Self {
        let (mut unseen, mut left) = (run.unseen * u64::from(run.receivers), run.lost());
        let mut of_messages = |messages: u64| {
            let copies = (messages * u64::from(run.receivers)).min(unseen).min(left);
            unseen -= copies;
            left -= copies;
            copies
        };
        let told_by_kernels = server.socket.max(server.unheard).max(sum(&server.counted, Cause::Socket));
        let server_socket = of_messages(told_by_kernels);
        let server_policy = of_messages(sum(&server.counted, Cause::Policy));
        let mut of_copies = |copies: u64| {
            let copies = copies.min(left);
            left -= copies;
            copies
        };
        let server_sending = of_copies(sum(&server.counted, Cause::Sending));
        let server_refused = of_copies(unseen.saturating_sub(server_sending));
        let generator_socket = of_copies(generator_drops);
        Self {
            lost: run.lost(),
            ratio: run.loss(),
            generator_socket,
            server_socket,
            server_policy,
            server_sending,
            server_refused,
            unexplained: left,
            server_counters: server.counted.into_iter().filter(|one| one.cause != Cause::Heard).collect(),
        }
    }

    /// The causes with their copies, in the order in which they are printed.
    pub fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("generator socket", self.generator_socket),
            ("server socket", self.server_socket),
            ("server policy", self.server_policy),
            ("server's sending", self.server_sending),
            ("refused or not relayed", self.server_refused),
            ("unexplained", self.unexplained),
        ]
    }

    /// `server policy 900 (message_rate 10), ...`
    pub(super) fn sentence(&self) -> String {
        let parts = self.parts().map(|(name, copies)| format!("{name} {}", show_count(copies)));
        let counters: Vec<String> =
            self.server_counters.iter().map(|one| format!("{} {}", one.name, show_count(one.count))).collect();
        let told =
            if counters.is_empty() { String::new() } else { format!("; the server counted {}", counters.join(", ")) };
        format!("{}{told}", parts.join(", "))
    }
}
