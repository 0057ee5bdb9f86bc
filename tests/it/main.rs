//! Behaviour through the public surface: the program, and the library where a law is tested.

#[cfg(feature = "live")]
mod afar;
mod amplified;
#[cfg(feature = "live")]
mod api;
mod architecture;
mod bombs;
mod broken;
mod bundles;
mod cases;
mod check;
mod completion;
mod corpus;
#[cfg(feature = "live")]
mod cost;
#[cfg(feature = "live")]
mod credentials;
mod diff;
mod emit;
mod eras;
mod escapes;
mod expect;
mod fates;
#[cfg(feature = "live")]
mod faults;
#[cfg(feature = "live")]
mod fleet;
mod formats;
mod hostile;
mod incomplete;
mod interrupted;
mod ipvs;
mod join;
mod json;
mod judgement;
#[cfg(feature = "live")]
mod kernel;
mod laws;
mod limits;
mod manual;
mod metrics;
mod modes;
#[cfg(feature = "live")]
mod netns;
mod nftables;
mod objects;
mod odd_names;
mod out;
#[cfg(feature = "live")]
mod outages;
mod plugin;
mod properties;
#[cfg(feature = "live")]
mod proxied;
#[cfg(feature = "live")]
mod read_live;
mod read_only;
mod readme;
mod redact;
mod refusals;
mod run;
#[cfg(feature = "live")]
mod secrets;
mod shared;
mod show;
mod size;
mod snapshot;
mod sources;
#[cfg(feature = "live")]
mod stand_in;
mod strace;
mod supply;
mod terminal;
mod three_languages;
mod trace;
mod verdicts;
#[cfg(feature = "live")]
mod watch;
#[cfg(feature = "live")]
mod world;

#[cfg(feature = "live")]
#[path = "../support/cluster.rs"]
mod cluster;

#[path = "../support/generate.rs"]
mod generate;

#[path = "../support/three.rs"]
mod three;

#[path = "../support/harness/mod.rs"]
mod harness;
