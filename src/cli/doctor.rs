//! Owns `outcry doctor`: what the doctor found, as lines for people or as
//! JSON, and the exit code. Never looks at the machine itself.

use super::settings::Sources;
use super::{EXIT_USAGE, has_colours, report, write_out};
use clap::Args;
use outcry::doctor::{self, Asked, Finding, Level};
use serde_json::json;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use thiserror::Error;

const EXAMPLES: &str = "\
Examples:
  outcry doctor                                      this machine, over loopback
  outcry doctor 192.0.2.7                            the way to a member, too
  outcry doctor --config /etc/outcry/outcry.toml     for the buffers and the port set there
  outcry doctor --json | jq '.findings[] | select(.level != \"ok\")'

For an ADDR that is not loopback two datagrams of 1232 zeros leave this host, as one
train, to port 9 (discard) of ADDR with one hop to live: no router passes them on.

Exit codes: 0 nothing found, 1 warnings, 2 a fault, or nothing looked at for a wrong flag.";

/// Look at this machine: will it let the relay do its best? Changes nothing
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// Where members are: the way there is looked at, too [default: 127.0.0.1]
    addr: Option<Destination>,

    /// Look for what this configuration of the relay asks for
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The address of a host, with or without a port, which is not used.
#[derive(Clone, Copy, Debug)]
struct Destination(IpAddr);

#[derive(Debug, Error)]
#[error("expected the IP address of one host, like 192.0.2.7 or 2001:db8::7")]
struct NoDestination;

impl FromStr for Destination {
    type Err = NoDestination;

    fn from_str(text: &str) -> Result<Self, NoDestination> {
        let ip = text.parse().or_else(|_| text.parse().map(|addr: SocketAddr| addr.ip())).map_err(|_| NoDestination)?;
        let ip = ip.to_canonical();
        // Without its interface a link-local address leads nowhere.
        let is_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_group = ip.is_multicast() || ip == IpAddr::from([255; 4]);
        if is_local || is_group || ip.is_unspecified() { Err(NoDestination) } else { Ok(Self(ip)) }
    }
}

/// Prints what the doctor finds; its worst finding is the exit code.
pub(super) fn run(args: &DoctorArgs) -> ExitCode {
    let config = match (Sources { file: args.config.clone(), ..Sources::default() }).resolve() {
        Ok(config) => config,
        Err(error) => {
            report(error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let findings = doctor::examine(Asked::by(&config, args.addr.map(|addr| addr.0)));
    let text = if args.json { as_json(&findings) } else { as_lines(&findings, has_colours(&io::stdout())) };
    match write_out(&text) {
        Ok(()) => exit_code(worst(&findings)),
        Err(error) => {
            report(error);
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

fn exit_code(level: Level) -> ExitCode {
    ExitCode::from(match level {
        Level::Ok => 0,
        Level::Warning => 1,
        Level::Fault => 2,
    })
}

fn as_json(findings: &[Finding]) -> String {
    let rows: Vec<_> = findings
        .iter()
        .map(|Finding { check, level, says, mend }| json!({"check": check, "level": level.name(), "says": says, "mend": mend}))
        .collect();
    format!("{:#}\n", json!({"level": worst(findings).name(), "findings": rows}))
}

fn as_lines(findings: &[Finding], colours: bool) -> String {
    let mut text: String = findings.iter().map(|finding| line(finding, colours)).collect();
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    text.push_str(&format!("{} warnings, {} faults\n", count(Level::Warning), count(Level::Fault)));
    text
}

fn line(finding: &Finding, colours: bool) -> String {
    let Finding { check, level, says, mend } = finding;
    let colour = match level {
        Level::Ok => "\x1b[32m",
        Level::Warning => "\x1b[33m",
        Level::Fault => "\x1b[31m",
    };
    let (colour, plain) = if colours { (colour, "\x1b[0m") } else { ("", "") };
    let mend = mend.as_ref().map_or(String::new(), |mend| format!("{:>20}  {mend}\n", "mend:"));
    format!("{colour}{level:<7}{plain}  {check:<11}  {says}\n{mend}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(level: Level, mend: Option<&str>) -> Finding {
        Finding { check: "rcvbuf", level, says: "so many".into(), mend: mend.map(str::to_owned) }
    }

    #[test]
    fn a_line_names_the_level_and_what_mends() {
        let findings = [finding(Level::Ok, None), finding(Level::Warning, Some("sysctl -w a=1"))];
        let expected = "ok       rcvbuf       so many\nwarning  rcvbuf       so many\n               mend:  sysctl -w a=1\n\
            1 warnings, 0 faults\n";
        assert_eq!(as_lines(&findings, false), expected);
        assert!(as_lines(&findings, true).starts_with("\x1b[32mok     \x1b[0m  rcvbuf"));
    }

    #[test]
    fn the_worst_finding_counts() {
        assert_eq!(worst(&[finding(Level::Warning, None), finding(Level::Ok, None)]), Level::Warning);
        assert_eq!(worst(&[finding(Level::Warning, None), finding(Level::Fault, None)]), Level::Fault);
        assert_eq!(worst(&[]), Level::Ok);
    }

    #[test]
    fn a_host_is_asked_for() {
        for host in ["192.0.2.7", "192.0.2.7:9999", "2001:db8::7", "[2001:db8::7]:9", "::ffff:192.0.2.7"] {
            assert!(host.parse::<Destination>().is_ok(), "{host}");
        }
        for other in ["", "localhost", "0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "fe80::1", "::ffff:224.0.0.1"] {
            assert!(other.parse::<Destination>().is_err(), "{other}");
        }
    }
}
