//! `loadgen report`: a saved run, printed and drawn again.

use super::{Output, load_curve, print};
use crate::report::Files;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct ReportArgs {
    /// A report saved by run or sweep.
    file: PathBuf,

    /// How results are written.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,

    #[command(flatten)]
    files: Files,
}

/// Prints and writes.
pub(super) fn run(args: &ReportArgs) -> Result<u8, String> {
    let (report, points) = load_curve(&args.file)?;
    print(&report, args.output)?;
    for path in args.files.write(&report, &points)? {
        eprintln!("wrote {}", path.display());
    }
    Ok(0)
}
