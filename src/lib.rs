//! kube-ipt shows what a Kubernetes node really does with Service traffic.
//!
//! ```text
//! rules text ──dump──► faithful ruleset ──proxy──► observed dataplane ──► report ──► render
//! ```
//!
//! [`source`] brings the bytes in; everything after it is a pure function of values. [`dump`] knows the languages of
//! rules and nothing of Kubernetes, [`proxy`] knows what kube-proxy means by its rules, [`dataplane`] is the neutral
//! model they are read into, [`report`] is the JSON contract, [`render`] makes text, and [`cli`] ties them together.
//! Imports go only towards the left; a test holds that.

pub mod cli;
pub mod cluster;
pub mod dataplane;
pub mod dump;
pub mod expect;
pub mod join;
pub mod net;
pub mod proxy;
pub mod render;
pub mod report;
pub mod source;
