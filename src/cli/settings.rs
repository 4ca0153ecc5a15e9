//! Owns [`Settings`], the one list of what can be set: a field is a flag of
//! `serve` and a key of the file, with one name, one spelling and one help
//! text. Never decides a default: `config.rs` does.

use super::values::{Bind, Count, Size, Span, Switch, text};
use clap::{Args, CommandFactory};
use outcry::config::{
    BIND_DEFAULT, BUFFER_BYTES_LARGEST, BUFFER_BYTES_SMALLEST, Config, IDLE_MS_SMALLEST, Io, Lang, Limits, LogFormat,
    LogLevel, PEERS_MAX_LARGEST, PlainPolicy, RATE_PER_S_LARGEST, STATS_EVERY_MS_SMALLEST, TIME_MS_LARGEST,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};
use thiserror::Error;

type Peers = Count<PEERS_MAX_LARGEST>;
type Rate = Count<RATE_PER_S_LARGEST>;
type ByteRate = Size<0, RATE_PER_S_LARGEST>;
type Buffer = Size<BUFFER_BYTES_SMALLEST, BUFFER_BYTES_LARGEST>;
type Idle = Span<IDLE_MS_SMALLEST, TIME_MS_LARGEST>;
type Every = Span<STATS_EVERY_MS_SMALLEST, TIME_MS_LARGEST>;

/// What flags and file say; `None`: nothing.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    /// Where to listen; [::] takes v4 and v6 [default: 127.0.0.1:9999]
    #[arg(long, value_name = "IP:PORT")]
    #[serde(with = "text")]
    pub(super) bind: Option<Bind>,

    /// Who may join by plain text: the first datagram joins, a code must be sent back first, nobody
    /// [default: open on loopback, else challenge]
    #[arg(long, value_name = "open|challenge|off", help_heading = "Members")]
    #[serde(with = "text")]
    pub(super) plain: Option<PlainPolicy>,

    /// Language of notices [default: zh]
    #[arg(long, value_name = "zh|en", help_heading = "Members")]
    #[serde(with = "text")]
    pub(super) lang: Option<Lang>,

    /// Members at most; memory for them is taken at the start, so 0 stands for the largest, 4000000
    /// [default: 50000]
    #[arg(long, value_name = "COUNT", help_heading = "Members")]
    pub(super) max_peers: Option<Peers>,

    /// Silence after which a member leaves, like 90s, 5m or 2h; 0 never [default: 60m; 5m under open
    /// on a network]
    #[arg(long, value_name = "TIME", help_heading = "Members")]
    #[serde(with = "text")]
    pub(super) idle: Option<Idle>,

    /// Messages a second of one member; 0 no limit [default: 0 on loopback, else 20]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) msg_rate: Option<Rate>,

    /// Bytes a second of one member, like 16K; 0 no limit [default: 0 on loopback, else 16K]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    #[serde(with = "text")]
    pub(super) byte_rate: Option<ByteRate>,

    /// Joins a second from one prefix (/32 of v4, /64 of v6); 0 no limit [default: 0 on loopback,
    /// else 5]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) join_rate: Option<Rate>,

    /// Joins a second from everywhere; 0 no limit [default: 0 on loopback, else 1000]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) join_rate_total: Option<Rate>,

    /// Members of one prefix (/32 of v4, /64 of v6); 0 no limit [default: 0 on loopback, else 64]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) prefix_peers: Option<Peers>,

    /// Whether members that send back all they get (echo services, other relays) are shut out for a
    /// minute [default: on]
    #[arg(long, value_name = "on|off", help_heading = "Limits")]
    #[serde(with = "text")]
    pub(super) mirror_guard: Option<Switch>,

    /// Join and leave notices a second, above which they are merged; 0 no limit [default: 10]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) notice_rate: Option<Rate>,

    /// Copies of notices a second, above which they are suppressed and counted; 0 no limit
    /// [default: 100000]
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(super) notice_copies: Option<Rate>,

    /// Receive buffer to ask of the kernel, like 8M [default: 8M]
    #[arg(long, value_name = "BYTES", help_heading = "Kernel")]
    #[serde(with = "text")]
    pub(super) rcvbuf: Option<Buffer>,

    /// Send buffer to ask of the kernel, like 8M [default: 8M]
    #[arg(long, value_name = "BYTES", help_heading = "Kernel")]
    #[serde(with = "text")]
    pub(super) sndbuf: Option<Buffer>,

    /// How to talk to the kernel: the fastest way this system has, or one datagram a call
    /// [default: auto]
    #[arg(long, value_name = "auto|portable", help_heading = "Kernel")]
    #[serde(with = "text")]
    pub(super) io: Option<Io>,

    /// Print counters this often, like 1s or 5m; 0 only at exit [default: 0]
    #[arg(long, value_name = "EVERY", help_heading = "Output")]
    #[serde(with = "text")]
    pub(super) stats: Option<Every>,

    /// What to log, on stderr; info: start, stop, who joins and leaves, and why [default: info]
    #[arg(long, value_name = "off|error|warn|info|debug|trace", help_heading = "Output")]
    #[serde(with = "text")]
    pub(super) log: Option<LogLevel>,

    /// Form of the log: lines for people, or a JSON object a line [default: human]
    #[arg(long, value_name = "human|json", help_heading = "Output")]
    #[serde(with = "text")]
    pub(super) log_format: Option<LogFormat>,

    /// Run the operator's console: print what is said, read lines and commands [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[arg(help_heading = "Output")]
    #[serde(with = "text")]
    pub(super) console: Option<Switch>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub(super) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file has an unknown key or a wrong value.
    #[error("config file {}: {}", path.display(), source.to_string().trim_end())]
    Wrong { path: PathBuf, source: toml::de::Error },
}

/// The configuration: flags win over the file, the file over the defaults, and
/// the address of a socket that was handed over over all of them.
pub(super) fn resolve(
    flags: Settings,
    file: Option<&Path>,
    handed_over: Option<SocketAddr>,
) -> Result<Config, SettingsError> {
    let file = file.map_or(Ok(Settings::default()), Settings::read)?;
    let settings = flags.or(file);
    Ok(Settings { bind: handed_over.map(Bind).or(settings.bind), ..settings }.config())
}

impl Settings {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        toml::from_str(&text).map_err(|source| SettingsError::Wrong { path: path.to_owned(), source })
    }

    /// These settings, and `other`'s where these say nothing.
    fn or(self, other: Self) -> Self {
        Self {
            bind: self.bind.or(other.bind),
            plain: self.plain.or(other.plain),
            lang: self.lang.or(other.lang),
            max_peers: self.max_peers.or(other.max_peers),
            idle: self.idle.or(other.idle),
            msg_rate: self.msg_rate.or(other.msg_rate),
            byte_rate: self.byte_rate.or(other.byte_rate),
            join_rate: self.join_rate.or(other.join_rate),
            join_rate_total: self.join_rate_total.or(other.join_rate_total),
            prefix_peers: self.prefix_peers.or(other.prefix_peers),
            mirror_guard: self.mirror_guard.or(other.mirror_guard),
            notice_rate: self.notice_rate.or(other.notice_rate),
            notice_copies: self.notice_copies.or(other.notice_copies),
            rcvbuf: self.rcvbuf.or(other.rcvbuf),
            sndbuf: self.sndbuf.or(other.sndbuf),
            io: self.io.or(other.io),
            stats: self.stats.or(other.stats),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
            console: self.console.or(other.console),
        }
    }

    /// The configuration, with defaults where nothing is said. The address
    /// comes first, then the policy: other defaults follow from them.
    fn config(self) -> Config {
        let bind = self.bind.map_or(BIND_DEFAULT, |bind| bind.0);
        let defaults = Config::for_limits(bind, self.limits(bind));
        Config {
            bind,
            io: self.io.unwrap_or(defaults.io),
            rcvbuf_bytes: self.rcvbuf.map_or(defaults.rcvbuf_bytes, |size| size.0),
            sndbuf_bytes: self.sndbuf.map_or(defaults.sndbuf_bytes, |size| size.0),
            stats_every_ms: self.stats.map_or(defaults.stats_every_ms, |span| span.0),
            log: self.log.unwrap_or(defaults.log),
            log_format: self.log_format.unwrap_or(defaults.log_format),
            limits: defaults.limits,
        }
    }

    fn limits(&self, bind: SocketAddr) -> Limits {
        let plain = self.plain.unwrap_or(Limits::for_bind(bind).plain);
        let defaults = Limits::for_policy(bind, plain);
        Limits {
            plain,
            lang: self.lang.unwrap_or(defaults.lang),
            peers_max: self.max_peers.map_or(defaults.peers_max, largest_if_0),
            idle_ms: self.idle.map_or(defaults.idle_ms, |span| span.0),
            msgs_per_s: self.msg_rate.map_or(defaults.msgs_per_s, |rate| rate.0),
            bytes_per_s: self.byte_rate.map_or(defaults.bytes_per_s, |size| size.0),
            joins_per_s_prefix: self.join_rate.map_or(defaults.joins_per_s_prefix, |rate| rate.0),
            joins_per_s_total: self.join_rate_total.map_or(defaults.joins_per_s_total, |rate| rate.0),
            prefix_peers_max: self.prefix_peers.map_or(defaults.prefix_peers_max, |peers| peers.0),
            mirror_guard: self.mirror_guard.map_or(defaults.mirror_guard, |switch| switch.0),
            notices_per_s: self.notice_rate.map_or(defaults.notices_per_s, |rate| rate.0),
            notice_copies_per_s: self.notice_copies.map_or(defaults.notice_copies_per_s, |rate| rate.0),
            console: self.console.map_or(defaults.console, |switch| switch.0),
        }
    }
}

fn largest_if_0(peers: Peers) -> u32 {
    if peers.0 == 0 { PEERS_MAX_LARGEST } else { peers.0 }
}

impl From<&Config> for Settings {
    /// The settings that resolve to `config`, nothing left to a default.
    fn from(config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            bind: Some(Bind(config.bind)),
            plain: Some(limits.plain),
            lang: Some(limits.lang),
            max_peers: Some(Count(limits.peers_max)),
            idle: Some(Span(limits.idle_ms)),
            msg_rate: Some(Count(limits.msgs_per_s)),
            byte_rate: Some(Size(limits.bytes_per_s)),
            join_rate: Some(Count(limits.joins_per_s_prefix)),
            join_rate_total: Some(Count(limits.joins_per_s_total)),
            prefix_peers: Some(Count(limits.prefix_peers_max)),
            mirror_guard: Some(Switch(limits.mirror_guard)),
            notice_rate: Some(Count(limits.notices_per_s)),
            notice_copies: Some(Count(limits.notice_copies_per_s)),
            rcvbuf: Some(Size(config.rcvbuf_bytes)),
            sndbuf: Some(Size(config.sndbuf_bytes)),
            io: Some(config.io),
            stats: Some(Span(config.stats_every_ms)),
            log: Some(config.log),
            log_format: Some(config.log_format),
            console: Some(Switch(limits.console)),
        }
    }
}

/// `config` as a file that `--config` takes, each key under its help text.
pub(super) fn print(config: &Config) -> Result<String, toml::ser::Error> {
    let command = OnlySettings::command();
    let help = |line: &str| {
        let key = line.split(" = ").next();
        let arg = command.get_arguments().find(|arg| arg.get_long() == key);
        arg.and_then(|arg| arg.get_help()).map_or(String::new(), |help| format!("# {help}\n"))
    };
    let file = toml::to_string(&Settings::from(config))?;
    Ok(file.lines().map(|line| format!("{}{line}\n", help(line))).collect())
}

/// The settings as a command of their own, for their help texts.
#[derive(clap::Parser)]
struct OnlySettings {
    #[command(flatten)]
    _settings: Settings,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Settings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let flags = file("max-peers = 10\nidle = '0'");
        let config = flags.or(file("max-peers = 20\nlang = 'en'")).config();
        assert_eq!((config.limits.peers_max, config.limits.lang, config.limits.idle_ms), (10, Lang::En, 0));
        assert_eq!(config.bind, BIND_DEFAULT);
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(Settings::default().config(), Config::default());
    }

    #[test]
    fn defaults_follow_address_and_policy() {
        let config = file("bind = '0.0.0.0:9999'\nplain = 'open'").config();
        assert_eq!((config.limits.idle_ms, config.limits.msgs_per_s), (300_000, 20));
        let config = file("bind = '0.0.0.0:9999'\nmsg-rate = 0").config();
        assert_eq!((config.limits.plain, config.limits.msgs_per_s), (PlainPolicy::Challenge, 0));
    }

    #[test]
    fn no_limit_of_peers_is_the_largest() {
        assert_eq!(file("max-peers = 0").config().limits.peers_max, PEERS_MAX_LARGEST);
    }

    #[test]
    fn numbers_and_truth_values_need_no_quotes() {
        let quoted = file("rcvbuf = '5000'\nconsole = 'on'\nmirror-guard = 'off'\nmsg-rate = '7'\nidle = '0'");
        assert_eq!(file("rcvbuf = 5000\nconsole = true\nmirror-guard = false\nmsg-rate = 7\nidle = 0"), quoted);
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let bind = "[::]:0".parse().unwrap();
        let limits = Limits { idle_ms: 0, bytes_per_s: 1025, console: true, ..Limits::for_bind(bind) };
        let config = Config { stats_every_ms: 1500, ..Config::for_limits(bind, limits) };
        let text = print(&config).unwrap();
        assert_eq!(file(&text).config(), config, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("# ")).count(), text.lines().count() / 2, "{text}");
    }
}
