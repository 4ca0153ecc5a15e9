//! The command line. Owns no behaviour: each subcommand is a file in `cli/`.
fn main() {}
