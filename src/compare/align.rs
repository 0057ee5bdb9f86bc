//! A service port that only one side names gets its name on the other side too.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use crate::dataplane::{ServiceName, ServicePort};
use crate::net::{Family, Protocol};

type Named = (ServiceName, Option<Protocol>, Family);

/// An address and port that clients connect to; no address for a node port.
type Spot = (Option<IpAddr>, u16, Option<Protocol>, Family);

/// Names service ports of one side after those of the other with the same hash in their chains' names, else with a frontend
/// in common. Virtual servers of IPVS that turn out to be of one service port become one.
pub fn align(a: &mut Vec<ServicePort>, b: &mut Vec<ServicePort>) {
    adopt(a, b);
    adopt(b, a);
}

fn named(port: &ServicePort) -> Option<Named> {
    Some((port.name.clone()?, port.protocol, port.family))
}

fn spots(port: &ServicePort) -> impl Iterator<Item = Spot> {
    port.frontends.iter().filter_map(|f| Some((f.address, f.port?, port.protocol, port.family)))
}

fn adopt(ports: &mut Vec<ServicePort>, from: &[ServicePort]) {
    if ports.iter().all(|port| port.name.is_some()) {
        return;
    }
    let own: HashSet<Named> = ports.iter().filter_map(named).collect();
    let (mut by_key, mut by_spot) = (HashMap::new(), HashMap::new());
    for (port, name) in from.iter().filter_map(|port| Some((port, named(port)?))).filter(|(_, n)| !own.contains(n)) {
        by_key.entry((port.key.as_str(), port.family)).or_insert_with(|| name.clone());
        for spot in spots(port) {
            by_spot.entry(spot).or_insert_with(|| name.clone());
        }
    }
    let mut first: HashMap<Named, usize> = HashMap::new();
    let mut kept: Vec<ServicePort> = Vec::with_capacity(ports.len());
    for mut port in std::mem::take(ports) {
        let of_key = || by_key.get(&(port.key.as_str(), port.family));
        let of_spot = || spots(&port).find_map(|spot| by_spot.get(&spot));
        if let Some(name) = port.name.is_none().then(|| of_key().or_else(of_spot)).flatten().cloned() {
            port.name = Some(name.0.clone());
            port.protocol = port.protocol.or(name.1);
            let at = *first.entry(name).or_insert(kept.len());
            if let Some(whole) = kept.get_mut(at) {
                absorb(whole, port);
                continue;
            }
        }
        kept.push(port);
    }
    *ports = kept;
}

/// Adds what is another part of the same service port.
fn absorb(whole: &mut ServicePort, part: ServicePort) {
    whole.frontends.extend(part.frontends);
    for pool in part.pools {
        if !whole.pools.iter_mut().any(|known| known.absorb(&pool)) {
            whole.pools.push(pool);
        }
    }
    whole.affinity_seconds = whole.affinity_seconds.or(part.affinity_seconds);
}
