//! Owns `outcry generate`: the files of a package that follow from the flags,
//! so that none of them can say something else. Never installs any.

use super::settings;
use super::{Cli, report};
use clap::builder::StyledStr;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use outcry::config::Config;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a new configuration file begins with.
const CONFIG_HEAD: &str = "\
# outcry's configuration. As it stands the relay listens on 127.0.0.1:9999, for
# this machine only, without limits, and keeps bans and members over a restart.
#
# The lines below show what holds for a relay that everyone can reach. Remove a
# `#` to set one; `outcry serve --config FILE --print-config` shows the result.
# Before the first start for everyone: `outcry doctor --config FILE`.
";

/// What a package sets: where the service may write.
const BAN_FILE: &str = "/var/lib/outcry/bans";
const STATE_FILE: &str = "/var/lib/outcry/members";

/// Write the files of a package
#[derive(Args, Debug)]
pub(super) struct GenerateArgs {
    /// Which
    what: What,

    /// Into this directory, which is made
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Manual pages
    Man,
    /// Completions for bash, zsh and fish
    Completions,
    /// The default configuration
    Config,
}

/// Writes them.
pub(super) fn run(args: &GenerateArgs) -> ExitCode {
    let dir = args.dir.as_path();
    let made = fs::create_dir_all(dir).and_then(|()| match args.what {
        What::Man => man(dir),
        What::Completions => completions(dir),
        What::Config => fs::write(dir.join("outcry.toml"), config()?),
    });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(format_args!("cannot write to {}: {error}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

/// The command line without what is hidden.
fn shown() -> Command {
    let all = Cli::command();
    let visible: Vec<_> = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let about = |text: Option<&StyledStr>| text.cloned().unwrap_or_default();
    Command::new("outcry")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about(all.get_about()))
        .after_help(about(all.get_after_help()))
        .subcommands(visible)
}

fn man(dir: &Path) -> io::Result<()> {
    clap_mangen::generate_to(shown(), dir)?;
    for page in fs::read_dir(dir)? {
        let path = page?.path();
        // The examples are lines, not a paragraph to be filled.
        let text = fs::read_to_string(&path)?.replace(".SH EXTRA\n", ".SH EXAMPLES\n.nf\n");
        fs::write(&path, text.replace("\n.SH VERSION\n", "\n.fi\n.SH VERSION\n"))?;
    }
    Ok(())
}

fn completions(dir: &Path) -> io::Result<()> {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut shown(), "outcry", dir)?;
    }
    Ok(())
}

/// Every key with its help text, none of them set but the files that a package has a place for.
fn config() -> io::Result<String> {
    let everyone = SocketAddr::from((Ipv6Addr::UNSPECIFIED, outcry::config::BIND_DEFAULT.port()));
    let files = [BAN_FILE, STATE_FILE].map(|path| Some(PathBuf::from(path)));
    let [ban_file, state_file] = files;
    let config = Config { ban_file, state_file, ..Config::for_bind(everyone) };
    let keys = settings::print(&config).map_err(io::Error::other)?;
    let is_set = |line: &str| [BAN_FILE, STATE_FILE].iter().any(|path| line.ends_with(&format!(" = \"{path}\"")));
    let line = |line: &str| match line {
        help if help.starts_with('#') => format!("\n{help}\n"),
        set if is_set(set) => format!("{set}\n"),
        unset => format!("#{unset}\n"),
    };
    Ok(CONFIG_HEAD.to_owned() + &keys.lines().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_configuration_shows_every_key_and_sets_its_files_only() {
        let text = config().unwrap();
        let keys = |text: &str| text.parse::<toml::Table>().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&text), ["ban-file", "state"], "{text}");
        let set = text.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| line.contains(" = "));
        let set: String = set.map(|line| format!("{line}\n")).collect();
        let all = settings::print(&Config::default()).unwrap();
        assert_eq!(keys(&set), keys(&all));
        assert!(!keys(&all).is_empty());
    }
}
