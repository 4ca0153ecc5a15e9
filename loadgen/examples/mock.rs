//! Starts the mock server without faults and prints its address: something to
//! point `loadgen run --target` at. Ends with the process.

fn main() -> std::io::Result<()> {
    let mock = loadgen::mock::Mock::start(loadgen::mock::Faults::default())?;
    println!("{}", mock.address());
    loop {
        std::thread::park();
    }
}
