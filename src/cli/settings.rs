//! Owns [`Settings`], the one list of what can be set: a field is a flag of
//! `serve` and a key of the file, with one name, one spelling and one help
//! text. Never decides a default: `config.rs` does.

use super::values::{Bind, Count, Size, Span, Switch, text};
use clap::{Args, CommandFactory};
use outcry::config::{
    AccessKey, AdminConfig, BIND_DEFAULT, BUFFER_BYTES_LARGEST, BUFFER_BYTES_SMALLEST, Config, ControlAt,
    IDLE_MS_SMALLEST, Io, Lang, Limits, LogFormat, LogLevel, PEERS_MAX_LARGEST, PlainPolicy, RATE_PER_S_LARGEST,
    RING_BYTES_MAX_DEFAULT, RING_BYTES_SMALLEST, RING_MESSAGES_SMALLEST, ROOMS_MAX_LARGEST, ROOMS_PER_SESSION_MAX,
    SESSIONS_MAX_LARGEST, STATS_EVERY_MS_SMALLEST, TIME_MS_LARGEST,
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
type Sessions = Count<SESSIONS_MAX_LARGEST>;
type Rooms = Count<ROOMS_MAX_LARGEST>;
type RoomsPerSession = Count<{ ROOMS_PER_SESSION_MAX as u32 }>;
type RingBytes = Size<RING_BYTES_SMALLEST, RING_BYTES_MAX_DEFAULT>;
type RingsBytes = Size<RING_BYTES_SMALLEST, { u32::MAX }>;
type RoomIdle = Span<1_000, TIME_MS_LARGEST>;
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

    /// File with the key that native members must have, at least 16 random bytes; plain members then
    /// stay outside [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Native members")]
    pub(super) access_key_file: Option<PathBuf>,

    /// Let plain members in beside an access key, which they cannot prove [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[arg(help_heading = "Native members")]
    #[serde(with = "text")]
    pub(super) plain_without_key: Option<Switch>,

    /// Native members at most; 0 stands for the largest, 1000000 [default: 65536]
    #[arg(long, value_name = "COUNT", help_heading = "Native members")]
    pub(super) max_sessions: Option<Sessions>,

    /// Native members of one prefix (/32 of v4, /64 of v6); 0 no limit [default: 0 on loopback, else
    /// 256]
    #[arg(long, value_name = "COUNT", help_heading = "Native members")]
    pub(super) prefix_sessions: Option<Sessions>,

    /// Rooms at most; 0 stands for the largest, 65000 [default: 4096]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) max_rooms: Option<Rooms>,

    /// Living rooms that one prefix (/32 of v4, /64 of v6) has created; 0 no limit [default: 0 on
    /// loopback, else 16]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) prefix_rooms: Option<Rooms>,

    /// Rooms of one member; 0 stands for the largest, 32 [default: 32]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) rooms_per_session: Option<RoomsPerSession>,

    /// Native members of one room; 0 no limit [default: 0]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) room_members: Option<Sessions>,

    /// How long a room outlives its last member, like 10m [default: 10m]
    #[arg(long, value_name = "TIME", help_heading = "Rooms")]
    #[serde(with = "text")]
    pub(super) room_idle: Option<RoomIdle>,

    /// Members up to which a room is told who comes, goes and is renamed [default: 256]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) presence_members: Option<Sessions>,

    /// Messages that a room keeps for repair and for who comes late, from 2048 on [default: 4096]
    #[arg(long, value_name = "COUNT", help_heading = "Rooms")]
    pub(super) history: Option<Rate>,

    /// Bytes that a room keeps, like 256K; 1M at most [default: 1M]
    #[arg(long, value_name = "BYTES", help_heading = "Rooms")]
    #[serde(with = "text")]
    pub(super) history_bytes: Option<RingBytes>,

    /// Bytes that all rooms keep; used as they fill [default: 256M]
    #[arg(long, value_name = "BYTES", help_heading = "Rooms")]
    #[serde(with = "text")]
    pub(super) history_bytes_total: Option<RingsBytes>,

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

    /// The operator's socket, for outcry ctl: in the runtime directory, nowhere, or there
    /// [default: auto]
    #[arg(long, value_name = "auto|none|PATH", help_heading = "Operating")]
    #[serde(with = "text")]
    pub(super) control: Option<ControlAt>,

    /// File that keeps bans over a restart [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Operating")]
    pub(super) ban_file: Option<PathBuf>,

    /// File that keeps plain members, and mutes, over a restart or a crash [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Operating")]
    pub(super) state: Option<PathBuf>,

    /// On SIGTERM let nobody new in, tell the members, and end when they have left or after 30s
    /// [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    #[arg(help_heading = "Operating")]
    #[serde(with = "text")]
    pub(super) drain_on_term: Option<Switch>,

    /// Metrics, a JSON view and a page for people over HTTP, at this address [default: none]
    #[arg(long, value_name = "IP:PORT", help_heading = "Admin")]
    #[serde(with = "text")]
    pub(super) admin: Option<Bind>,

    /// File with the token that --admin asks for, at least 16 random bytes; needed where other
    /// machines reach it [default: none]
    #[arg(long, value_name = "FILE", help_heading = "Admin")]
    pub(super) admin_token_file: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub(super) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A secret cannot be read.
    #[error("cannot read the {what} file {}: {source}", path.display())]
    KeyUnreadable { what: &'static str, path: PathBuf, source: io::Error },
    /// A secret can be guessed.
    #[error("the {what} file {} holds less than 16 bytes; `head -c 32 /dev/urandom | base64 > {}` makes a good one", path.display(), path.display())]
    KeyTooShort { what: &'static str, path: PathBuf },
    /// Other machines could look, and nothing would keep them out.
    #[error(
        "--admin {bind} can be reached by other machines: give --admin-token-file FILE too, or an address of loopback"
    )]
    AdminOpen { bind: SocketAddr },
    /// Plain members would come in without the key.
    #[error(
        "--plain {plain} beside --access-key-file lets members in without the key: say --plain-without-key if that is meant"
    )]
    PlainBesideKey { plain: PlainPolicy },
    /// The file has an unknown key or a wrong value.
    #[error("config file {}: {}", path.display(), source.to_string().trim_end())]
    Wrong { path: PathBuf, source: toml::de::Error },
}

/// Where settings come from, to be read again, too.
#[derive(Clone, Default)]
pub(super) struct Sources {
    pub(super) flags: Settings,
    pub(super) file: Option<PathBuf>,
    /// The address of a socket that was handed over.
    pub(super) handed_over: Option<SocketAddr>,
}

impl Sources {
    /// The configuration as they say it now: flags win over the file, the file
    /// over the defaults, and what was handed over over all of them.
    pub(super) fn resolve(&self) -> Result<Config, SettingsError> {
        let file = self.file.as_deref().map_or(Ok(Settings::default()), Settings::read)?;
        let settings = self.flags.clone().or(file);
        Settings { bind: self.handed_over.map(Bind).or(settings.bind), ..settings }.config()
    }
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
            control: self.control.or(other.control),
            ban_file: self.ban_file.or(other.ban_file),
            state: self.state.or(other.state),
            drain_on_term: self.drain_on_term.or(other.drain_on_term),
            admin: self.admin.or(other.admin),
            admin_token_file: self.admin_token_file.or(other.admin_token_file),
            access_key_file: self.access_key_file.or(other.access_key_file),
            plain_without_key: self.plain_without_key.or(other.plain_without_key),
            max_sessions: self.max_sessions.or(other.max_sessions),
            prefix_sessions: self.prefix_sessions.or(other.prefix_sessions),
            max_rooms: self.max_rooms.or(other.max_rooms),
            prefix_rooms: self.prefix_rooms.or(other.prefix_rooms),
            rooms_per_session: self.rooms_per_session.or(other.rooms_per_session),
            room_members: self.room_members.or(other.room_members),
            room_idle: self.room_idle.or(other.room_idle),
            presence_members: self.presence_members.or(other.presence_members),
            history: self.history.or(other.history),
            history_bytes: self.history_bytes.or(other.history_bytes),
            history_bytes_total: self.history_bytes_total.or(other.history_bytes_total),
        }
    }

    /// The configuration, with defaults where nothing is said. The address
    /// comes first, then the policy: other defaults follow from them.
    fn config(self) -> Result<Config, SettingsError> {
        let bind = self.bind.map_or(BIND_DEFAULT, |bind| bind.0);
        let access_key = self.access_key_file.as_deref().map(|path| read_key("access key", path)).transpose()?;
        let admin = self.admin_config()?;
        let plain = self.plain_policy(bind, access_key.is_some())?;
        let limits = Limits { access_key, ..self.limits(bind, plain) };
        let defaults = Config::for_limits(bind, limits);
        Ok(Config {
            bind,
            io: self.io.unwrap_or(defaults.io),
            rcvbuf_bytes: self.rcvbuf.map_or(defaults.rcvbuf_bytes, |size| size.0),
            sndbuf_bytes: self.sndbuf.map_or(defaults.sndbuf_bytes, |size| size.0),
            stats_every_ms: self.stats.map_or(defaults.stats_every_ms, |span| span.0),
            log: self.log.unwrap_or(defaults.log),
            log_format: self.log_format.unwrap_or(defaults.log_format),
            access_key_file: self.access_key_file,
            control: self.control.unwrap_or(defaults.control),
            ban_file: self.ban_file,
            state_file: self.state,
            drain_on_term: self.drain_on_term.map_or(defaults.drain_on_term, |switch| switch.0),
            admin,
            admin_token_file: self.admin_token_file,
            limits: defaults.limits,
        })
    }

    /// The HTTP face; its token is looked at only where there is one.
    fn admin_config(&self) -> Result<Option<AdminConfig>, SettingsError> {
        let Some(Bind(bind)) = self.admin else { return Ok(None) };
        let token = self.admin_token_file.as_deref().map(|path| read_key("admin token", path)).transpose()?;
        AdminConfig::new(bind, token).map(Some).ok_or(SettingsError::AdminOpen { bind })
    }

    /// Who may join by plain text: nobody, where that would be a way around the key.
    fn plain_policy(&self, bind: SocketAddr, has_key: bool) -> Result<PlainPolicy, SettingsError> {
        let beside = self.plain_without_key.is_some_and(|switch| switch.0);
        match self.plain {
            Some(plain) if has_key && !beside && plain != PlainPolicy::Off => {
                Err(SettingsError::PlainBesideKey { plain })
            }
            Some(plain) => Ok(plain),
            None if has_key && !beside => Ok(PlainPolicy::Off),
            None => Ok(Limits::for_bind(bind).plain),
        }
    }

    fn limits(&self, bind: SocketAddr, plain: PlainPolicy) -> Limits {
        let defaults = Limits::for_policy(bind, plain);
        Limits {
            plain,
            lang: self.lang.unwrap_or(defaults.lang),
            peers_max: self.max_peers.map_or(defaults.peers_max, |peers| or_largest(peers.0, PEERS_MAX_LARGEST)),
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
            sessions_max: self
                .max_sessions
                .map_or(defaults.sessions_max, |count| or_largest(count.0, SESSIONS_MAX_LARGEST)),
            prefix_sessions_max: self.prefix_sessions.map_or(defaults.prefix_sessions_max, |count| count.0),
            rooms_max: self.max_rooms.map_or(defaults.rooms_max, |count| or_largest(count.0, ROOMS_MAX_LARGEST)),
            prefix_rooms_max: self.prefix_rooms.map_or(defaults.prefix_rooms_max, |count| count.0),
            rooms_per_session_max: self
                .rooms_per_session
                .map_or(defaults.rooms_per_session_max, |count| or_largest(count.0, ROOMS_PER_SESSION_MAX as u32)),
            room_members_max: self.room_members.map_or(defaults.room_members_max, |count| count.0),
            room_idle_ms: self.room_idle.map_or(defaults.room_idle_ms, |span| span.0),
            presence_members_max: self.presence_members.map_or(defaults.presence_members_max, |count| count.0),
            ring_messages_max: self
                .history
                .map_or(defaults.ring_messages_max, |count| count.0.max(RING_MESSAGES_SMALLEST)),
            ring_bytes_max: self.history_bytes.map_or(defaults.ring_bytes_max, |size| size.0),
            rings_bytes_max: self.history_bytes_total.map_or(defaults.rings_bytes_max, |size| size.0),
            access_key: None,
        }
    }
}

fn or_largest(count: u32, largest: u32) -> u32 {
    if count == 0 { largest } else { count }
}

fn read_key(what: &'static str, path: &Path) -> Result<AccessKey, SettingsError> {
    let unreadable = |source| SettingsError::KeyUnreadable { what, path: path.to_owned(), source };
    let bytes = fs::read(path).map_err(unreadable)?;
    AccessKey::from_file(&bytes).ok_or_else(|| SettingsError::KeyTooShort { what, path: path.to_owned() })
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
            control: Some(config.control.clone()),
            ban_file: config.ban_file.clone(),
            state: config.state_file.clone(),
            drain_on_term: Some(Switch(config.drain_on_term)),
            admin: config.admin.as_ref().map(|admin| Bind(admin.bind())),
            admin_token_file: config.admin_token_file.clone(),
            access_key_file: config.access_key_file.clone(),
            plain_without_key: Some(Switch(limits.access_key.is_some() && limits.plain != PlainPolicy::Off)),
            max_sessions: Some(Count(limits.sessions_max)),
            prefix_sessions: Some(Count(limits.prefix_sessions_max)),
            max_rooms: Some(Count(limits.rooms_max)),
            prefix_rooms: Some(Count(limits.prefix_rooms_max)),
            rooms_per_session: Some(Count(limits.rooms_per_session_max)),
            room_members: Some(Count(limits.room_members_max)),
            room_idle: Some(Span(limits.room_idle_ms)),
            presence_members: Some(Count(limits.presence_members_max)),
            history: Some(Count(limits.ring_messages_max)),
            history_bytes: Some(Size(limits.ring_bytes_max)),
            history_bytes_total: Some(Size(limits.rings_bytes_max)),
        }
    }
}

/// Keys that differ between two configurations.
pub(super) fn differences(one: &Config, other: &Config) -> Result<Vec<String>, toml::ser::Error> {
    let [former, later] = [one, other].map(|config| toml::Table::try_from(Settings::from(config)));
    let (former, later) = (former?, later?);
    let mut keys: Vec<_> =
        former.keys().chain(later.keys()).filter(|key| former.get(*key) != later.get(*key)).collect();
    let key_file = "access-key-file".to_owned();
    if one.limits.access_key != other.limits.access_key {
        // The same file can hold another key.
        keys.push(&key_file);
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys.into_iter().cloned().collect())
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
        let config = flags.or(file("max-peers = 20\nlang = 'en'")).config().unwrap();
        assert_eq!((config.limits.peers_max, config.limits.lang, config.limits.idle_ms), (10, Lang::En, 0));
        assert_eq!(config.bind, BIND_DEFAULT);
    }

    #[test]
    fn nothing_said_is_the_default() {
        assert_eq!(Settings::default().config().unwrap(), Config::default());
    }

    #[test]
    fn defaults_follow_address_and_policy() {
        let config = file("bind = '0.0.0.0:9999'\nplain = 'open'").config().unwrap();
        assert_eq!((config.limits.idle_ms, config.limits.msgs_per_s), (300_000, 20));
        let config = file("bind = '0.0.0.0:9999'\nmsg-rate = 0").config().unwrap();
        assert_eq!((config.limits.plain, config.limits.msgs_per_s), (PlainPolicy::Challenge, 0));
    }

    #[test]
    fn no_limit_of_peers_is_the_largest() {
        assert_eq!(file("max-peers = 0").config().unwrap().limits.peers_max, PEERS_MAX_LARGEST);
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
        assert_eq!(file(&text).config().unwrap(), config, "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("# ")).count(), text.lines().count() / 2, "{text}");
    }

    #[test]
    fn a_key_keeps_plain_members_out_unless_that_is_meant() {
        let path = std::env::temp_dir().join(format!("outcry-key-{}", std::process::id()));
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let with = |more: &str| file(&format!("access-key-file = {path:?}\n{more}")).config();
        let config = with("").unwrap();
        assert_eq!(config.limits.plain, PlainPolicy::Off);
        assert_eq!(config.limits.access_key.as_ref().unwrap().as_bytes(), b"0123456789abcdef");
        assert_eq!(file(&print(&config).unwrap()).config().unwrap(), config);
        assert!(with("plain = 'open'").unwrap_err().to_string().contains("--plain-without-key"));
        assert_eq!(with("plain = 'open'\nplain-without-key = true").unwrap().limits.plain, PlainPolicy::Open);
        fs::write(&path, "short\n").unwrap();
        assert!(with("").unwrap_err().to_string().contains("less than 16 bytes"));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_admin_face_is_off_and_asks_others_for_a_token() {
        assert_eq!(Settings::default().config().unwrap().admin, None);
        let error = file("admin = '0.0.0.0:9464'").config().unwrap_err().to_string();
        assert!(error.contains("--admin-token-file"), "{error}");
        let path = std::env::temp_dir().join(format!("outcry-token-{}", std::process::id()));
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let text = format!("admin = '0.0.0.0:9464'\nadmin-token-file = {path:?}");
        let config = file(&text).config().unwrap();
        assert_eq!(config.admin.as_ref().unwrap().token().unwrap().as_bytes(), b"0123456789abcdef");
        assert_eq!(file(&print(&config).unwrap()).config().unwrap(), config);
        fs::write(&path, "short\n").unwrap();
        let error = file(&text).config().unwrap_err().to_string();
        assert!(error.contains("admin token file") && error.contains("less than 16 bytes"), "{error}");
        fs::remove_file(&path).unwrap();
    }
}
