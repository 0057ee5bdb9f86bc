//! What the rules of a node do with Service traffic, from their text on: the part of kube-ipt that goes through every line of
//! a dump. It is a crate of its own so that it can be built for speed, and the rest to be small.

pub mod cores;
pub mod dataplane;
pub mod dump;
mod eight;
pub mod net;
pub mod order;
pub mod outline;
pub mod plain_json;
pub mod proxy;
