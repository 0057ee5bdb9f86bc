//! Fates that are easily mistaken, each as a kernel with these rules gave it (iptables 1.8, Linux 6): what a source became
//! for INPUT, what has no connection, what a redirection leads to, what connection tracking remembers.

use serde_json::Value;

use crate::run::kube_ipt;

/// The tables of a node at 192.0.2.1 and 10.244.1.1 whose Service at 10.96.0.1:80 has the node itself for its endpoint. A line of
/// `rules` names its table first.
fn node(rules: &str) -> String {
    let own = "nat -A PREROUTING -j KUBE-SERVICES\nnat -A OUTPUT -j KUBE-SERVICES\n\
               nat -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-X\n\
               nat -A KUBE-SVC-X -j KUBE-MARK-MASQ\nnat -A KUBE-SVC-X -p tcp -j DNAT --to-destination 192.0.2.1:8080\n\
               nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n";
    let chains = [
        ("raw", "PREROUTING OUTPUT"),
        ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
        ("nat", "PREROUTING INPUT OUTPUT POSTROUTING KUBE-SERVICES KUBE-SVC-X KUBE-MARK-MASQ"),
        ("filter", "INPUT FORWARD OUTPUT"),
    ];
    let mut text = String::new();
    for (table, chains) in chains {
        text.extend([format!("*{table}\n")]);
        for chain in chains.split(' ') {
            let policy = if chain.starts_with("KUBE") { "-" } else { "ACCEPT" };
            text.extend([format!(":{chain} {policy} [0:0]\n")]);
        }
        for line in rules.lines().chain(own.lines()) {
            let rule = line.split_once(' ').filter(|(of, _)| *of == table);
            text.extend(rule.map(|(_, rule)| format!("{rule}\n")));
        }
        text += "COMMIT\n";
    }
    text
}

fn trace(rules: &str, args: &str) -> Value {
    let text = if rules.starts_with('*') { rules.to_owned() } else { node(rules) };
    let run = kube_ipt("trace --no-api -o json --node-ip 192.0.2.1 --node-ip 10.244.1.1").args(args);
    let (stdout, stderr, status) = run.stdin(text).output();
    assert_eq!(status, Some(0), "{args}: {stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// The verdict, `?` where it depends on what nobody knows.
fn fate(rules: &str, args: &str) -> String {
    trace(rules, args)["verdict"].as_str().unwrap_or("?").to_owned()
}

#[test]
fn what_the_node_sends_itself_comes_in_with_the_source_it_was_given() {
    let own = |rules: &str| fate(rules, "127.0.0.1 10.96.0.1:80");
    let masqueraded = "nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n";
    let refuse = |rule: &str| format!("{masqueraded}filter -A INPUT {rule} -j DROP\n");
    // The loopback address is never lent.
    assert_eq!(own(&refuse("-s 127.0.0.0/8")), "delivered");
    assert_eq!(own(&refuse("! -s 127.0.0.0/8")), "drop");
    // Which of its others is, no rule tells.
    assert_eq!(own(&refuse("-s 192.0.2.1/32")), "?");
    assert_eq!(own(&refuse("-s 198.51.100.1/32")), "delivered");
    assert_eq!(own(&refuse("-m addrtype --src-type LOCAL")), "drop");
    assert_eq!(own(&refuse("-m conntrack --ctstate SNAT")), "drop");
    // What connection tracking remembers is the address it had.
    assert_eq!(own(&refuse("-m conntrack --ctorigsrc 127.0.0.1")), "drop");
    let given =
        |rule: &str| format!("nat -A POSTROUTING -j SNAT --to-source 198.51.100.1\nfilter -A INPUT {rule} -j DROP\n");
    assert_eq!(own(&given("-s 198.51.100.1/32")), "drop");
    assert_eq!(own(&given("-m addrtype --src-type LOCAL")), "delivered");
    // Another port is no other address.
    let port = "nat -A POSTROUTING -p tcp -j SNAT --to-source :5000-6000\nfilter -A INPUT -s 192.0.2.1/32 -p tcp -m tcp --sport 40000 -j DROP\n";
    let moved = trace(port, "192.0.2.1:40000 10.96.0.1:80");
    assert_eq!(moved["unknown"][0], "the port its source became is 40000", "{moved:#}");
    assert_eq!(moved["destinations"][0]["masquerade"], false, "{moved:#}");
}

#[test]
fn a_redirection_of_the_nodes_own_leads_to_the_loopback_address() {
    let redirected = |rule: &str| {
        format!(
            "nat -A OUTPUT -d 10.96.0.1/32 -p tcp -j REDIRECT --to-ports 15001\nnat -A PREROUTING -d 10.96.0.1/32 -p tcp -j REDIRECT --to-ports 15001\nfilter -A INPUT {rule} -j DROP\n"
        )
    };
    assert_eq!(fate(&redirected("-d 127.0.0.0/8"), "192.0.2.1 10.96.0.1:80"), "drop");
    assert_eq!(fate(&redirected("-d 192.0.2.1/32"), "192.0.2.1 10.96.0.1:80"), "delivered");
    // What comes in is redirected to an address of where it came in.
    assert_eq!(fate(&redirected("-d 127.0.0.0/8"), "203.0.113.9 10.96.0.1:80"), "delivered");
    assert_eq!(fate(&redirected("-d 192.0.2.1/32"), "203.0.113.9 10.96.0.1:80"), "?");
}

#[test]
fn without_a_connection_nothing_about_it_is_met() {
    let at = |rules: &str| fate(rules, "203.0.113.9 10.96.0.1:80 --in-interface eth0");
    let untracked = |rule: &str| at(&format!("raw -A PREROUTING -j NOTRACK\n{rule} -j DROP\n"));
    for never in [
        "connmark ! --mark 0x1/0x1",
        "conntrack --ctdir ORIGINAL",
        "conntrack ! --ctdir REPLY",
        "conntrack --ctproto 6",
    ] {
        assert_eq!(untracked(&format!("filter -A FORWARD -m {never}")), "untranslated", "{never}");
        assert_eq!(at(&format!("raw -A PREROUTING -m {never} -j DROP\n")), "delivered", "{never}");
    }
    assert_eq!(at("mangle -A PREROUTING -m connmark ! --mark 0x1/0x1 -j DROP\n"), "drop");
    // A state is looked at alone then.
    assert_eq!(untracked("filter -A FORWARD -m conntrack --ctstate UNTRACKED --ctproto 17"), "drop");
    // raw knows what it made untracked itself.
    assert_eq!(untracked("raw -A PREROUTING -m conntrack --ctstate UNTRACKED"), "drop");
    assert_eq!(untracked("raw -A PREROUTING -m conntrack --ctstate INVALID"), "untranslated");
    // What comes back to the node that sent it is tracked already, and stays so.
    let back = "raw -A PREROUTING -j NOTRACK\nfilter -A INPUT -m conntrack --ctstate UNTRACKED -j DROP\n";
    assert_eq!(fate(back, "192.0.2.1 192.0.2.1:8080"), "untranslated");
}

#[test]
fn connection_tracking_remembers_where_a_connection_was_headed() {
    let at = |options: &str| {
        fate(
            &format!("filter -A INPUT -m conntrack {options} -j DROP\n"),
            "203.0.113.9 10.96.0.1:80 --in-interface eth0",
        )
    };
    for (options, verdict) in [
        ("--ctorigdst 10.96.0.1", "drop"),
        ("--ctorigdst 192.0.2.1", "delivered"),
        ("! --ctorigdst 192.0.2.1", "drop"),
        ("--ctorigdstport 80", "drop"),
        ("--ctorigdstport 70:90 --ctdir ORIGINAL", "drop"),
        ("--ctorigdstport 8080 --ctdir ORIGINAL", "delivered"),
        ("--ctorigsrc 203.0.113.0/24 ! --ctorigdstport 81", "drop"),
        ("--ctstate NEW --ctproto 17", "delivered"),
        ("--ctstate NEW --ctproto 6", "drop"),
        ("--ctstate DNAT --ctorigsrcport 1", "?"),
        ("--ctorigdstport kerberos", "?"),
        ("--ctstatus ASSURED", "?"),
    ] {
        assert_eq!(at(options), verdict, "{options}");
    }
}

#[test]
fn an_address_is_of_one_kind() {
    let at = |kind: &str| {
        fate(&format!("filter -A INPUT -m addrtype {kind} -j DROP\n"), "203.0.113.9 10.96.0.1:80 --in-interface eth0")
    };
    for (kind, verdict) in [
        ("--dst-type LOCAL", "drop"),
        ("--dst-type BROADCAST", "delivered"),
        ("--dst-type MULTICAST", "delivered"),
        ("! --dst-type UNICAST", "drop"),
        ("--dst-type MULTICAST,LOCAL", "drop"),
        ("--dst-type LOCAL --limit-iface-in", "?"),
        ("--dst-type BLACKHOLE", "?"),
        ("--src-type UNICAST", "?"),
    ] {
        assert_eq!(at(kind), verdict, "{kind}");
    }
}

#[test]
fn later_fragments_open_no_connection() {
    for (rule, verdict) in [("-f", "delivered"), ("! -f", "drop")] {
        assert_eq!(fate(&format!("filter -A INPUT {rule} -j DROP\n"), "203.0.113.9 10.96.0.1:80"), verdict, "{rule}");
    }
    // As a listing has it.
    let listing = |opt: &str| {
        format!(
            "Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination\nDROP       all  {opt}  0.0.0.0/0            0.0.0.0/0\n\n\
             Chain FORWARD (policy ACCEPT)\ntarget     prot opt source               destination\n\nChain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination\n"
        )
    };
    // Without -v it may be limited to an interface.
    for (opt, verdict) in [("-f", "delivered"), ("!f", "drop"), ("--", "?")] {
        let text =
            node("").replace("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", "");
        assert_eq!(fate(&(text + &listing(opt)), "203.0.113.9 10.96.0.1:80"), verdict, "{opt}");
    }
}

#[test]
fn one_of_several_ports_of_an_address_is_at_that_address() {
    let rules = "nat -A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 8000:8003 -j DNAT --to-destination 10.244.2.2:8000-8003\n\
                 filter -A FORWARD -d 10.244.2.2/32 -j DROP\n";
    assert_eq!(fate(rules, "203.0.113.9 192.0.2.1:8001"), "drop");
}

#[test]
fn what_comes_in_for_a_loopback_address_needs_more_than_rules() {
    let rules = node("nat -A PREROUTING -d 169.254.169.254/32 -p tcp -j DNAT --to-destination 127.0.0.1:8181\n");
    let (_, stderr, status) =
        kube_ipt("trace --no-api --node-ip 192.0.2.1 10.244.1.4 169.254.169.254:80").stdin(rules).output();
    assert_eq!(status, Some(0));
    assert_eq!(
        stderr,
        "note: what comes in for a loopback address the kernel drops unless net.ipv4.conf.all.route_localnet is 1, which no rule tells\n"
    );
}

#[test]
fn tables_without_a_name_are_told_by_all_their_chains() {
    let listed = |table: &str| {
        let text = node("mangle -A FORWARD -s 203.0.113.9/32 -j DROP\nmangle -A INPUT -s 203.0.113.9/32 -j DROP\n");
        let part = text.split('*').find(|part| part.starts_with(table)).expect("the table").to_owned();
        let lines = part.lines().filter_map(|line| match line.strip_prefix(':') {
            Some(chain) if chain.starts_with("KUBE") => Some(format!("-N {}\n", chain.split(' ').next()?)),
            Some(chain) => Some(format!("-P {} ACCEPT\n", chain.split(' ').next()?)),
            None => line.starts_with('-').then(|| format!("{line}\n")),
        });
        lines.collect::<String>()
    };
    let room = tempfile::tempdir().expect("a folder");
    let file = |table: &str| {
        let path = room.path().join(table);
        std::fs::write(&path, listed(table)).expect("writable");
        path
    };
    let with = |tables: &[&str]| {
        let run = kube_ipt("trace --no-api --node-ip 192.0.2.1 203.0.113.9 10.96.0.1:80 -o json");
        let run = tables.iter().fold(run, |run, table| run.arg("-f").arg(file(table)));
        let (stdout, stderr, _) = run.output();
        let verdict = serde_json::from_str::<Value>(&stdout).expect("JSON")["verdict"].clone();
        (verdict.as_str().unwrap_or("?").to_owned(), stderr)
    };
    assert_eq!(with(&["nat", "filter", "raw", "mangle"]), ("drop".to_owned(), String::new()));
    let (verdict, notes) = with(&["nat", "filter", "raw"]);
    assert_eq!(verdict, "delivered");
    let lacking =
        "the table mangle was not read: its rules, which may drop or exempt the connection, were not followed";
    assert!(notes.contains(lacking), "{notes}");
}
