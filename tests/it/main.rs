//! Behaviour through the public surface: the program, and the library where a law is tested.

mod architecture;
mod cases;
mod eras;
mod formats;
mod hostile;
mod json;
#[cfg(feature = "live")]
mod netns;
mod properties;
mod read_only;
mod readme;
mod run;
mod show;
mod sources;

#[path = "../support/generate.rs"]
mod generate;
