//! Service proxies that are not kube-proxy, by the traces they leave.

use super::texts::Texts;
use crate::dump::iptables::Section;
use crate::source::Bundle;

/// A system that serves Services itself.
struct Other {
    name: &'static str,
    /// What its chains, tables and interfaces are called: the beginnings of their names.
    traces: &'static [&'static str],
    /// What shows Services there.
    command: &'static str,
}

/// Calico's chains (cali-) are on nodes with kube-proxy too; only its eBPF dataplane replaces kube-proxy, and has these.
const OTHERS: [Other; 5] = [
    Other {
        name: "Cilium",
        traces: &["CILIUM_", "OLD_CILIUM_", "cilium_"],
        command: "kubectl -n kube-system exec ds/cilium -- cilium-dbg service list",
    },
    Other {
        name: "Antrea",
        traces: &["ANTREA-", "antrea-"],
        command: "kubectl -n kube-system exec ds/antrea-agent -c antrea-agent -- antctl get ovsflows --service NAME -n NAMESPACE",
    },
    Other {
        name: "kube-router",
        traces: &["KUBE-ROUTER-", "KUBE-NWPLCY-", "KUBE-POD-FW-", "kube-router-", "kube-dummy-if", "kube-bridge"],
        command: "ipvsadm -Ln    (on the node)",
    },
    Other {
        name: "OVN-Kubernetes",
        traces: &["OVN-KUBE-", "ovn-kube", "ovn-k8s-mp"],
        command: "kubectl -n ovn-kubernetes exec ds/ovnkube-node -- ovn-nbctl lb-list",
    },
    Other {
        name: "Calico's eBPF dataplane",
        traces: &["bpfin.cali", "bpfout.cali", "cali-BPF"],
        command: "kubectl -n calico-system exec ds/calico-node -- calico-node -bpf nat dump",
    },
];

/// The system that seems to serve Services in place of kube-proxy, with the command that shows them there.
pub(super) fn proxy(texts: &Texts<'_>, bundle: &Bundle) -> Option<String> {
    let chains = texts.dumps.iter().flat_map(|dump| &dump.sections).flat_map(Section::chains).map(|c| c.name);
    let tables = texts.nft.iter().flat_map(|(_, listing)| &listing.tables);
    let of_nft = tables.flat_map(|table| table.chains().iter().map(|c| c.name).chain([table.name]));
    let interfaces = texts.interfaces.iter().flat_map(|interfaces| &interfaces.all).map(|i| i.name);
    let names: Vec<&str> = chains.chain(of_nft).chain(interfaces).collect();
    let traced = |other: &&Other| names.iter().any(|name| other.traces.iter().any(|trace| name.starts_with(trace)));
    let other = OTHERS.iter().find(traced)?;
    let here = if bundle.is_here() { "this node" } else { "the node" };
    Some(format!(
        "{here} has chains or interfaces of {}, which can serve Services itself; they are shown by: {}",
        other.name, other.command
    ))
}
