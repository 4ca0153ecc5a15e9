//! `loadgen floor`.

use super::Output;
use super::args::parse_address;
use super::progress::{Shown, Style, interrupt_flag};
use crate::benchmark::Progress;
use crate::child::Relay;
use crate::clock::Clock;
use crate::measure::{self, Floor, Round};
use crate::members::{Options, Protocol, Sockets};
use crate::session::{Joining, Session};
use crate::units::{parse_count, parse_scaled, show_count, show_ns};
use clap::Args;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Args)]
pub(super) struct FloorArgs {
    /// Address of the server, as IP:PORT, on this host. Without it a relay is
    /// started on a free port of the loopback.
    #[arg(long, value_name = "ADDR", value_parser = parse_address, requires = "server_pid")]
    target: Option<SocketAddr>,

    /// The server's process.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Members in all.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_count)]
    clients: u32,

    /// How many sockets the members share. Those with a socket each are
    /// connected to the server and would take nothing from the floor.
    #[arg(long, value_name = "KIND", default_value = "shared:16")]
    sockets: Sockets,

    /// Bytes of the message.
    #[arg(long, default_value = "64", value_parser = parse_count)]
    size: u32,

    /// Turns of each, after one that does not count.
    #[arg(long, value_name = "N", default_value = "9", value_parser = parse_count)]
    rounds: u32,

    /// Joins per second.
    #[arg(long, value_name = "RATE", default_value = "200k", value_parser = parse_scaled)]
    join_rate: f64,

    /// Exit 1 if a copy costs the server more than this many times the floor.
    #[arg(long, value_name = "RATIO")]
    at_most: Option<f64>,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    /// How progress is shown, on stderr.
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,
}

/// Joins, takes turns, prints.
pub(super) fn run(args: &FloorArgs) -> Result<u8, String> {
    if args.clients < 2 || args.rounds == 0 || args.join_rate <= 0.0 {
        return Err("--clients must be at least 2, --rounds and --join-rate above 0".into());
    }
    if args.sockets.shared(args.clients).is_none() {
        return Err("members with a socket each take nothing from the floor: use --sockets shared:16".into());
    }
    if let Some(refused) = Protocol::Plain.refuses(args.sockets, false, args.clients, 1) {
        return Err(refused);
    }
    let interrupt = interrupt_flag()?;
    let mut shown = Shown::new(args.progress);
    // Joins are not told: a notice is a fan-out of its own.
    let relay = match args.target {
        None => Some(Relay::start(args.clients, &["--notice-copies".into(), "1".into()])?),
        Some(_) => None,
    };
    let server = relay.as_ref().map(|relay| (relay.address(), relay.pid())).or(args.target.zip(args.server_pid));
    let (target, pid) = server.ok_or("--target needs --server-pid: the server's processor time is the result")?;
    let transport = args.sockets.open(target, args.clients, Options::default())?;
    let session = Session::new(transport, Clock::start(), crate::benchmark::run_id());
    let joining = Joining {
        rate: args.join_rate,
        patience: Duration::from_secs(10),
        rx_threads: 1,
        watched: target.ip().is_loopback().then_some(target),
        server_pid: None,
    };
    shown.say(&format!("joining {} members at {target}", show_count(args.clients.into())));
    session.join(&joining, &interrupt, |proven| shown.joined(proven, args.clients))?;
    let told = &mut |round: &Round| shown.say(&round_line(round));
    let found = measure::floor(&*session.transport, target, pid, args.size as usize, args.rounds, told)?;
    shown.finish();
    session.leave(args.join_rate);
    print(&found, args.output)?;
    Ok(u8::from(args.at_most.is_some_and(|most| found.ratio > most)))
}

fn round_line(round: &Round) -> String {
    let (server, floor) = (show_ns(round.server_ns), show_ns(round.floor_ns));
    format!("server {server}, floor {floor}, ratio {:.3}, lost {}", round.server_ns / round.floor_ns, round.lost)
}

fn print(found: &Floor, output: Output) -> Result<(), String> {
    match output {
        Output::Json => say!("{}", serde_json::to_string_pretty(found).map_err(|error| error.to_string())?),
        Output::Quiet => {}
        Output::Csv => {
            say!("server_ns,floor_ns,ratio,lost,members");
            for round in &found.rounds {
                let ratio = round.server_ns / round.floor_ns;
                say!("{},{},{ratio},{},\"{}\"", round.server_ns, round.floor_ns, round.lost, found.members_made);
            }
        }
        Output::Text => {
            say!("members     {} hear ({}), {} bytes", show_count(found.copies), found.members_made, found.size);
            say!("rounds      {}, in turns; CPU per copy, medians", found.rounds.len());
            say!("server      {}", show_ns(found.server_ns));
            say!("floor       {} (prepared sendmmsg, same addresses and options)", show_ns(found.floor_ns));
            say!("ratio       {:.3}", found.ratio);
            let lost: u64 = found.rounds.iter().map(|round| round.lost).sum();
            if lost > 0 {
                say!("lost        {} copies: a drop costs less than a delivery", show_count(lost));
            }
        }
    }
    Ok(())
}
