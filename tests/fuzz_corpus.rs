//! T13 on stable: every seed of every fuzz target holds what the target says.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder, in their order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_holds() {
    for (name, target, _) in targets::ALL {
        let seeds = files(&fuzz().join("seeds").join(name));
        assert!(seeds.len() >= 4, "{name} has seeds");
        for seed in seeds {
            // Shown if the target panics, which says nothing of its input.
            println!("{}", seed.display());
            target(&fs::read(&seed).expect("a seed"));
        }
    }
}

/// Cut anywhere, and with each bit of the first bytes turned; of a script, some of these.
#[test]
fn every_seed_holds_when_it_is_cut_or_damaged() {
    for (name, target, forms_max) in targets::ALL {
        for seed in files(&fuzz().join("seeds").join(name)) {
            println!("{}", seed.display());
            let bytes = fs::read(&seed).expect("a seed");
            let cuts = (0..bytes.len()).map(|len| bytes[..len].to_vec());
            let damages = (0..8 * bytes.len().min(100)).map(|bit| {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                damaged
            });
            let forms = bytes.len() + 8 * bytes.len().min(100);
            // Odd, so that it is not the same bit of each byte.
            let step = forms.div_ceil(*forms_max).max(1) | 1;
            cuts.chain(damages).step_by(step).for_each(|form| target(&form));
        }
    }
}

#[test]
fn every_target_has_its_parts() {
    let [manifest, readme] =
        ["Cargo.toml", "README.md"].map(|file| fs::read_to_string(fuzz().join(file)).expect("a file"));
    for (name, ..) in targets::ALL {
        let target = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).expect("a target");
        assert!(target.contains(&format!("targets::{name}(input)")), "{name} runs itself");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} in Cargo.toml");
        assert!(readme.contains(&format!("| `{name}` |")), "{name} in README.md");
    }
    assert_eq!(files(&fuzz().join("fuzz_targets")).len(), targets::ALL.len(), "each is in targets::ALL");
    assert_eq!(files(&fuzz().join("seeds")).len(), targets::ALL.len(), "no seeds without a target");
}
