//! Dumps of any size, in the lines kube-proxy 1.36 writes and `iptables -t nat -S` prints.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use kube_ipt::dataplane::ServiceName;
use kube_ipt::net::Protocol;
use kube_ipt::proxy::chain_name;

/// Above this many endpoints kube-proxy leaves out the comments of balancing and endpoint rules.
const COMMENTS_UP_TO: usize = 1000;

/// The nat table of a node with `services` Services of `endpoints` endpoints each, named `big/svc-00000:http` and on.
/// Service n has the cluster IP 10.96.0.0 + n + 1, its endpoints follow each other from 10.128.0.0.
pub(crate) fn nat(services: usize, endpoints: usize) -> String {
    let commented = services * endpoints <= COMMENTS_UP_TO;
    let mut chains = vec!["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-PROXY-CANARY", "KUBE-SERVICES"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    let (mut seps, mut svcs, mut portal) = (Vec::new(), Vec::new(), String::new());
    for n in 0..services {
        let label = format!("big/svc-{n:05}:http");
        let name = ServiceName::parse(&label).expect("a service name");
        let key = chain_name::service_keys(&name, Protocol::Tcp).next().expect("a key");
        let ip = address(0x0a60_0001 + n);
        let vip = format!("-d {ip}/32 -p tcp -m comment --comment \"{label} cluster IP\" -m tcp --dport 80");
        let _ = writeln!(portal, "-A KUBE-SERVICES {vip} -j KUBE-SVC-{key}");
        let mut rules = format!("-A KUBE-SVC-{key} ! -s 10.128.0.0/9 {vip} -j KUBE-MARK-MASQ\n");
        for e in 0..endpoints {
            let ip = address(0x0a80_0000 + n * endpoints + e);
            let sep = chain_name::endpoint_key(&name, Protocol::Tcp, &format!("{ip}:8080"));
            let _ = write!(rules, "-A KUBE-SVC-{key}");
            if commented {
                let _ = write!(rules, " -m comment --comment \"{label} -> {ip}:8080\"");
            }
            if e + 1 < endpoints {
                let _ = write!(rules, " -m statistic --mode random --probability {}", probability(endpoints - e));
            }
            let _ = writeln!(rules, " -j KUBE-SEP-{sep}");
            let note = if commented { format!(" -m comment --comment \"{label}\"") } else { String::new() };
            let own = format!(
                "-A KUBE-SEP-{sep} -s {ip}/32{note} -j KUBE-MARK-MASQ\n\
                 -A KUBE-SEP-{sep} -p tcp{note} -m tcp -j DNAT --to-destination {ip}:8080\n"
            );
            chains.push(format!("KUBE-SEP-{sep}"));
            seps.push((sep, own));
        }
        chains.push(format!("KUBE-SVC-{key}"));
        svcs.push((key, rules));
    }
    chains.sort_unstable();
    seps.sort_unstable();
    svcs.sort_unstable();

    let mut out = String::new();
    for chain in ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"] {
        let _ = writeln!(out, "-P {chain} ACCEPT");
    }
    for chain in chains {
        let _ = writeln!(out, "-N {chain}");
    }
    out.push_str(FRAME);
    out.extend(seps.into_iter().map(|(_, rules)| rules));
    out.push_str(&portal);
    out.push_str(LAST);
    out.extend(svcs.into_iter().map(|(_, rules)| rules));
    out
}

/// What 1/n becomes: kube-proxy writes ten decimals, the kernel keeps a part of 2^31, iptables prints eleven.
pub(crate) fn probability(n: usize) -> String {
    const ONE: f64 = 2_147_483_648.0;
    let n = u32::try_from(n).expect("fewer endpoints than that");
    let written: f64 = format!("{:.10}", 1.0 / f64::from(n)).parse().expect("a number");
    format!("{:.11}", (written * ONE).round() / ONE)
}

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(number).expect("room for the addresses"))
}

const FRAME: &str = "\
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully
";

const LAST: &str = "\
-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
";
