//! The only commands this program starts: each lists, none changes anything.

use crate::net::Family;

/// Seconds a command waits for another program that holds the xtables lock.
const WAIT: &str = "5";

/// A command on the list: a program and its exact arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// The program, looked up in PATH.
    pub program: &'static str,
    /// Its arguments.
    pub args: &'static [&'static str],
}

/// Which kernel interface a program speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `iptables-legacy`
    Legacy,
    /// `iptables-nft`
    NfTables,
}

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rules of iptables.
    Iptables,
    /// A table of nftables, as JSON.
    Nft,
    /// Virtual servers.
    Ipvsadm,
    /// Ipsets.
    Ipset,
}

/// A listing of one table that was made by a command of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What it prints.
    pub language: Language,
    /// Family the program lists.
    pub family: Family,
    /// Kernel interface it reads, where known.
    pub backend: Option<Backend>,
    /// `nat`, `filter`, `raw` or `mangle`; `kube-proxy` of nftables; empty where there are no tables.
    pub table: &'static str,
}

/// Programs that list rules of iptables: of each family the one without a variant in its name, and both variants.
pub const IPTABLES: [[&str; 3]; 2] =
    [["iptables", "iptables-nft", "iptables-legacy"], ["ip6tables", "ip6tables-nft", "ip6tables-legacy"]];

/// The table of kube-proxy in nftables.
pub(super) const TABLE: &str = "kube-proxy";

/// The list. `-w` waits for the lock; programs too old for it (before 1.4.20) are run again without.
pub fn allowed() -> impl Iterator<Item = Allowed> {
    /// The table of kube-proxy's nftables mode; virtual servers and ipsets of its IPVS mode.
    const OTHERS: [Allowed; 6] = [
        Allowed { program: "nft", args: &["-j", "list", "table", "ip", TABLE] },
        Allowed { program: "nft", args: &["-j", "list", "table", "ip6", TABLE] },
        Allowed { program: "ipvsadm", args: &["-Sn"] },
        Allowed { program: "ipset", args: &["save"] },
        // Names of the legacy tables the kernel has; in a Pod only, here the files are read.
        Allowed { program: "cat", args: &["/proc/net/ip_tables_names"] },
        Allowed { program: "cat", args: &["/proc/net/ip6_tables_names"] },
    ];
    const ARGS: [&[&str]; 9] = [
        &["--version"],
        &["-w", WAIT, "-t", "nat", "-S"],
        &["-w", WAIT, "-t", "filter", "-S"],
        &["-w", WAIT, "-t", "raw", "-S"],
        &["-w", WAIT, "-t", "mangle", "-S"],
        &["-t", "nat", "-S"],
        &["-t", "filter", "-S"],
        &["-t", "raw", "-S"],
        &["-t", "mangle", "-S"],
    ];
    let of_iptables =
        IPTABLES.into_iter().flatten().flat_map(|program| ARGS.into_iter().map(move |args| Allowed { program, args }));
    of_iptables.chain(OTHERS)
}

/// The command that lists kube-proxy's table of nftables of a family.
pub fn lists_table(family: Family) -> Option<Allowed> {
    allowed().find(|command| command.program == "nft" && command.args.contains(&family.nft_name()))
}

impl Allowed {
    /// The command as a person would type it.
    pub fn typed(&self) -> String {
        format!("{} {}", self.program, self.args.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_only_lists() {
        let (tables, others): (Vec<Allowed>, Vec<Allowed>) = allowed().partition(|c| c.program.contains("tables"));
        for command in tables {
            assert!(command.program.starts_with("iptables") || command.program.starts_with("ip6tables"));
            assert!(command.args.last() == Some(&"-S") || command.args == ["--version"], "{}", command.typed());
            for arg in command.args {
                let lists =
                    matches!(*arg, "--version" | "-w" | WAIT | "-t" | "nat" | "filter" | "raw" | "mangle" | "-S");
                assert!(lists, "{} changes something?", command.typed());
            }
        }
        let typed: Vec<String> = others.iter().map(Allowed::typed).collect();
        let list = [
            "nft -j list table ip kube-proxy",
            "nft -j list table ip6 kube-proxy",
            "ipvsadm -Sn",
            "ipset save",
            "cat /proc/net/ip_tables_names",
            "cat /proc/net/ip6_tables_names",
        ];
        assert_eq!(typed, list);
    }
}
