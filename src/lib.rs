//! kube-ipt shows what a Kubernetes node really does with Service traffic.
//!
//! ```text
//! rules text ──dump──► faithful ruleset ──proxy──► observed dataplane ┐
//!                                                                     ├─join──► checks ──► report ──► render
//! API objects ──cluster──► slim facts ──expect──► expected dataplane ─┘
//! ```
//!
//! [`source`] brings the bytes in; everything after it is a pure function of values, but for the API server, which
//! [`cluster`] asks. [`dump`] knows the languages of rules and nothing of Kubernetes, [`proxy`] knows what kube-proxy means
//! by its rules, [`dataplane`] is the neutral model they are read into, and [`compare`] sets two of them side by side.
//! [`cluster`] reduces objects to facts, [`expect`] says what kube-proxy should make of them, and [`join`] sets that beside
//! what the rules do. [`trace`] follows one packet through the rules. [`redact`] gives pseudonyms to what a node's texts and
//! the facts name. [`checks`] says what is wrong with it, [`report`] is the JSON contract, [`render`] makes text, and
//! [`cli`] ties them together. Imports go only towards the left; a test holds that.
//!
//! What goes through every line of a dump is a crate below, `src/rules`, which is built to be fast; all else is built to be small.

use kube_ipt_rules::{cores, order, outline, plain_json};
pub use kube_ipt_rules::{dataplane, dump, net, proxy};

pub mod checks;
pub mod cli;
pub mod cluster;
pub mod compare;
pub mod expect;
pub mod join;
pub mod redact;
pub mod render;
pub mod report;
#[cfg(feature = "live")]
mod runtime;
mod shell;
mod shorten;
pub mod source;
pub mod trace;
