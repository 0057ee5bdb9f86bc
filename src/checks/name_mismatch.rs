//! The name of a chain is not the hash of the service or endpoint it serves.

use std::fmt::Write as _;

use super::{Check, Finding, Found, Input, Severity};
use crate::cores;
use crate::dataplane::{Address, Endpoint, Pool, ServiceName, ServicePort};
use crate::net::Protocol;
use crate::proxy::chain_name::{self, ChainKind, EndpointKeys};
use crate::proxy::nftables;

/// So many endpoints take longer to hash than a thread takes to start.
const WORTH_A_THREAD: usize = 2000;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI306",
    slug: "name-mismatch",
    severity: Severity::Warning,
    of_traffic: false,
    compares: false,
    page: include_str!("name_mismatch.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let ports: Vec<(usize, &ServicePort)> = input.ports().collect();
    let endpoints: usize = ports.iter().flat_map(|(_, port)| &port.pools).map(|pool| pool.endpoints.len()).sum();
    let piece = if endpoints < WORTH_A_THREAD { ports.len().max(1) } else { cores::piece(ports.len(), 1) };
    for (at, port, mismatch) in cores::in_turn(ports.chunks(piece), of_ports).into_iter().flatten() {
        let finding = finding(input, found.on(at, port), &mismatch);
        found.add(finding);
    }
}

fn of_ports<'p>(ports: &[(usize, &'p ServicePort)]) -> Vec<(usize, &'p ServicePort, Mismatch<'p>)> {
    ports.iter().flat_map(|&(at, port)| of_port(port).map(move |mismatch| (at, port, mismatch))).collect()
}

/// Chains of a service port with names of others.
enum Mismatch<'p> {
    Service(&'p str),
    Endpoints(Vec<&'p Endpoint>),
}

fn of_port(port: &ServicePort) -> impl Iterator<Item = Mismatch<'_>> {
    let known = port.name.as_ref().zip(port.protocol);
    let service = known.and_then(|(name, protocol)| service(port, name, protocol)).map(Mismatch::Service);
    let endpoints = known.map(|(name, protocol)| self::endpoints(port, name, protocol)).unwrap_or_default();
    let endpoints = (!endpoints.is_empty()).then_some(Mismatch::Endpoints(endpoints));
    service.into_iter().chain(endpoints)
}

/// The first service chain whose name is not the service's.
fn service<'p>(port: &'p ServicePort, name: &ServiceName, protocol: Protocol) -> Option<&'p str> {
    let keys: Vec<String> = chain_name::service_keys(name, protocol).collect();
    let chains = port.pools.iter().map(|pool: &Pool| pool.chain.as_str());
    let other = |chain: &&str| !nftables::name_fits(chain, name, protocol, &Address::Unknown);
    if let Some(chain) = chains.clone().find(other) {
        return Some(chain);
    }
    let hashed = |chain: &&str| ChainKind::of(chain).serves();
    chains.filter(hashed).find(|chain| !keys.iter().any(|key| key == chain_name::key(chain)))
}

/// Endpoints whose chain has the name of another.
fn endpoints<'p>(port: &'p ServicePort, name: &ServiceName, protocol: Protocol) -> Vec<&'p Endpoint> {
    let keys = EndpointKeys::of(name, protocol);
    // One piece of memory for all addresses.
    let mut text = String::new();
    // One without a chain of its own, as in nftables mode, stands in that of the pool.
    let own =
        |pool: &'p Pool| pool.endpoints.iter().filter(|endpoint| endpoint.chain.as_bytes() != pool.chain.as_bytes());
    let all = port.pools.iter().flat_map(own);
    let differs = |endpoint: &&Endpoint| {
        if !nftables::name_fits(&endpoint.chain, name, protocol, &endpoint.address) {
            return true;
        }
        let named = ChainKind::of(&endpoint.chain) == ChainKind::Endpoint;
        if !named || !matches!(endpoint.address, Address::Socket(..)) {
            return false;
        }
        text.clear();
        let _ = write!(text, "{}", endpoint.address);
        !keys.fits(chain_name::key(&endpoint.chain), &text)
    };
    all.filter(differs).collect()
}

fn finding(input: &Input<'_, '_>, blank: Finding, mismatch: &Mismatch<'_>) -> Finding {
    match mismatch {
        Mismatch::Service(chain) => Finding {
            chain: Some((*chain).to_owned()),
            message: format!("{chain} does not have the name of the service it serves"),
            hint: super::rewrite(input),
            ..blank
        },
        Mismatch::Endpoints(endpoints) => {
            let first = endpoints.first();
            let address = first.map(|endpoint| endpoint.address.to_string());
            let at = address.as_deref().unwrap_or_default();
            Finding {
                chain: first.map(|endpoint| endpoint.chain.to_string()),
                message: match endpoints.len() {
                    1 => format!("the chain of {at} has the name of another endpoint's"),
                    many => format!("the chains of {many} endpoints have the names of others', {at} first"),
                },
                address,
                hint: super::rewrite(input),
                rules: endpoints.iter().flat_map(|endpoint| endpoint.rules.iter().rev()).copied().take(4).collect(),
                ..blank
            }
        }
    }
}
