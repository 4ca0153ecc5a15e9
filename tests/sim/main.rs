//! The simulator: one relay and up to 50 clients on virtual time, with a
//! network that does what networks do, all of it from one seed; and a checker
//! that shares no code with them. What it proves and how a run is repeated
//! stands in `README.md` beside this file.

mod chance;
mod checker;
mod host;
mod load;
mod loss;
#[cfg(feature = "mutants")]
mod mutants;
mod network;
mod people;
mod restart;
mod scenario;
mod seeds;
mod tail;
mod world;
