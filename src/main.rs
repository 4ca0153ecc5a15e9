//! The command line's door. Owns no behaviour: each subcommand is a file in
//! `cli/`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
