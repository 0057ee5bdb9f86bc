//! Targets of iptables that are no chains, by what becomes of the walk.

/// Targets after which the next rule is tried: the packet is changed, marked, counted or logged.
const CONTINUING: [&str; 21] = [
    "CONNMARK",
    "LOG",
    "NFLOG",
    "ULOG",
    "TRACE",
    "CT",
    "NOTRACK",
    "SET",
    "TTL",
    "HL",
    "TOS",
    "DSCP",
    "TCPMSS",
    "CLASSIFY",
    "CHECKSUM",
    "TCPOPTSTRIP",
    "SECMARK",
    "CONNSECMARK",
    "AUDIT",
    "RATEEST",
    "TEE",
];

/// Verdicts that end the walk without sending the connection to an endpoint.
const ENDING: [&str; 9] = ["ACCEPT", "DROP", "REJECT", "QUEUE", "NFQUEUE", "SNAT", "MASQUERADE", "MIRROR", "TARPIT"];

/// True for a target after which the next rule is tried: the packet is changed, marked, counted or logged.
pub(super) fn continues(target: &str) -> bool {
    CONTINUING.contains(&target)
}

/// True for a target that ends the walk without sending the connection to an endpoint.
pub(super) fn ends(target: &str) -> bool {
    ENDING.contains(&target)
}

/// True for a target after which the next rule is tried and that changes nothing about where a packet goes.
pub fn only_watches(target: &str) -> bool {
    continues(target) && !matches!(target, "CONNMARK" | "CT" | "NOTRACK")
}
