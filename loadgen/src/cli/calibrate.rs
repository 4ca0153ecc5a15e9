//! `loadgen calibrate`.

use super::Output;
use crate::machine::threads;
use crate::measure::{self, Ceiling, Settings};
use crate::members::{Options, Protocol, Sockets, Venue, plain};
use crate::payload;
use crate::rooms::Rooms;
use crate::units::{parse_count, parse_duration, show_count, show_ns, show_scaled};
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(super) struct CalibrateArgs {
    /// What the members speak.
    #[arg(long, value_enum, default_value = "plain")]
    protocol: Protocol,

    /// Receiving sockets.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = parse_count)]
    clients: u32,

    /// How members are made: auto, per-client or shared:K.
    #[arg(long, value_name = "KIND", default_value = "auto")]
    sockets: Sockets,

    /// Receive trains whole (UDP_GRO).
    #[arg(long)]
    gro: bool,

    /// Bytes of a message.
    #[arg(long, default_value = "64", value_parser = parse_count)]
    size: u32,

    /// Receiving threads.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_count)]
    rx_threads: u32,

    /// Pin the receiving threads to cores from this one on.
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,

    /// How long for each of the two ways of sending.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    duration: Duration,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Measures and prints.
pub(super) fn run(args: &CalibrateArgs) -> Result<u8, String> {
    let least = plain::name(0).len() + payload::OVERHEAD_BYTES;
    if !(least..=payload::MESSAGE_BYTES_MAX).contains(&(args.size as usize)) {
        return Err(format!("--size must be {least} to {}", payload::MESSAGE_BYTES_MAX));
    }
    if args.clients == 0 || !(1..=64).contains(&args.rx_threads) || args.duration.is_zero() {
        return Err("--clients and --duration must be above 0, --rx-threads 1 to 64".into());
    }
    let refused = args.protocol.refuses(args.sockets, args.gro, args.clients, args.rx_threads);
    if let Some(refused) = refused.or_else(|| threads::refuses(args.pin)) {
        return Err(refused);
    }
    let settings = Settings {
        run: 1,
        senders: 1,
        counted: args.clients,
        rooms: Rooms::new(1, args.clients),
        reading: args.clients,
        disturbance: None,
        tx_threads: 0,
        rx_threads: args.rx_threads,
        pin: args.pin,
        late: Duration::from_secs(1),
        reflected: true,
        in_flight: None,
        drain_max: Duration::ZERO,
    };
    let options = Options { receive_buffer: None, gro: args.gro };
    let found = measure::calibrate(
        args.protocol,
        &|target| args.protocol.open(args.sockets, target, args.clients, &[], options, &Venue::default()),
        args.size as u16,
        &settings,
        args.duration,
    )?;
    match args.output {
        Output::Json => say!("{}", serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?),
        Output::Quiet => {}
        Output::Csv => {
            say!("train,copies_per_s,lost,members");
            found
                .iter()
                .for_each(|at| say!("{},{},{},\"{}\"", at.train, at.copies_per_second, at.lost, at.members_made));
        }
        Output::Text => found.iter().for_each(|ceiling| print(ceiling, args.clients)),
    }
    Ok(0)
}

fn print(ceiling: &Ceiling, clients: u32) {
    let how = if ceiling.train == 1 { "one at a time".into() } else { format!("trains of {}", ceiling.train) };
    let copies = ceiling.copies_per_second;
    let threads = ceiling.threads.iter().map(|thread| format!("{} {:.0} %", thread.name, thread.share() * 100.0));
    let cpu: u64 = ceiling.threads.iter().map(|thread| thread.cpu_ns).sum();
    let wall = ceiling.threads.iter().map(|thread| thread.wall_ns).max().unwrap_or(0);
    let per_copy = cpu as f64 / (copies * wall as f64 / 1e9).max(1.0);
    say!(
        "{how:<18} {} copies/s to {} members ({}), {} of CPU to receive one, lost {}, busy: {}",
        show_scaled(copies),
        show_count(clients.into()),
        ceiling.members_made,
        show_ns(per_copy),
        show_count(ceiling.lost),
        threads.collect::<Vec<_>>().join(", "),
    );
}
