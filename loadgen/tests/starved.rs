//! A generator that is starved of processor time must not blame the server.
//! In a file of its own: it takes every core, and other tests would starve too.

mod support;

use loadgen::mock::{Faults, Mock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::{benchmark, run};

#[test]
fn a_starved_generator_calls_its_run_invalid() {
    let mock = Mock::start(Faults::default()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism().unwrap().get();
    let burners: Vec<_> = (0..16 * cores)
        .map(|_| stop.clone())
        .map(|stop| std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {}))
        .collect();
    let report = run(&benchmark(&mock, 300, 10, 400.0, 2));
    stop.store(true, Ordering::Relaxed);
    burners.into_iter().for_each(|burner| burner.join().unwrap());
    assert_eq!(report.verdict.exit_code(), 3, "{:?}", report.gates);
    assert!(!report.verdict.reasons.is_empty());
}
