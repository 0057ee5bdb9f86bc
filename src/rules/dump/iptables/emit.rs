//! Writes a rule as `iptables -S` does: the inverse of parsing, down to the blanks.

use std::fmt::Write as _;

use super::rule::{AddrType, Match, Ports, Recent, RecentVerb, Rule, Side, Statistic, Word};
use super::words::quote;

impl Rule<'_> {
    /// The rule behind `-A CHAIN`, without counters. Parsing the result gives this rule again.
    #[inline]
    pub fn emit(&self) -> String {
        let mut out = String::with_capacity(96);
        for item in &self.matches {
            emit_match(item, &mut out);
        }
        if let Some(target) = &self.target {
            option(if target.goto { "-g" } else { "-j" }, Some(target.name), &mut out);
            words(&target.options, &mut out);
        }
        out
    }
}

impl Match<'_> {
    /// The condition alone, as it stands in a rule.
    #[inline]
    pub fn emit(&self) -> String {
        let mut out = String::new();
        emit_match(self, &mut out);
        out
    }
}

#[inline]
fn emit_match(item: &Match<'_>, out: &mut String) {
    match item {
        Match::Source { not, network } => negatable(*not, "-s", network, out),
        Match::Destination { not, network } => negatable(*not, "-d", network, out),
        Match::InInterface { not, name } => negatable(*not, "-i", name, out),
        Match::OutInterface { not, name } => negatable(*not, "-o", name, out),
        Match::Fragment { not } => push(out, if *not { "! -f" } else { "-f" }),
        Match::Protocol { not, name } => negatable(*not, "-p", name, out),
        Match::Comment(word) => {
            push(out, "-m comment --comment");
            out.push(' ');
            quote(&word.text, out);
        }
        Match::Ports(ports) => emit_ports(ports, out),
        Match::Statistic(statistic) => emit_statistic(statistic, out),
        Match::Recent(recent) => emit_recent(recent, out),
        Match::AddrType(addrtype) => emit_addrtype(addrtype, out),
        Match::Mark { not, value } => {
            push(out, "-m mark");
            if !value.is_empty() {
                negatable(*not, "--mark", value, out);
            }
        }
        Match::Module { name, words: options } => {
            if !name.is_empty() {
                option("-m", Some(name), out);
            }
            words(options, out);
        }
    }
}

#[inline]
fn emit_ports(ports: &Ports<'_>, out: &mut String) {
    if let Some(module) = ports.module {
        option("-m", Some(module), out);
    }
    for (flag, value) in [("--sport", ports.source), ("--dport", ports.destination)] {
        if let Some((not, value)) = value {
            negatable(not, flag, value, out);
        }
    }
    words(&ports.rest, out);
}

#[inline]
fn emit_statistic(statistic: &Statistic<'_>, out: &mut String) {
    push(out, "-m statistic");
    if !statistic.mode.is_empty() {
        option("--mode", Some(statistic.mode), out);
    }
    if let Some(value) = statistic.probability {
        negatable(statistic.not, "--probability", value, out);
    }
    if let Some(value) = statistic.every {
        negatable(statistic.not, "--every", value, out);
    }
    option("--packet", statistic.packet, out);
}

#[inline]
fn emit_recent(recent: &Recent<'_>, out: &mut String) {
    push(out, "-m recent");
    if recent.not {
        push(out, "!");
    }
    push(
        out,
        match recent.verb {
            RecentVerb::Set => "--set",
            RecentVerb::Check => "--rcheck",
            RecentVerb::Update => "--update",
            RecentVerb::Remove => "--remove",
        },
    );
    option("--seconds", recent.seconds, out);
    if recent.reap {
        push(out, "--reap");
    }
    option("--hitcount", recent.hitcount, out);
    if recent.rttl {
        push(out, "--rttl");
    }
    option("--name", recent.name, out);
    option("--mask", recent.mask, out);
    match recent.side {
        Some(Side::Source) => push(out, "--rsource"),
        Some(Side::Destination) => push(out, "--rdest"),
        None => {}
    }
}

#[inline]
fn emit_addrtype(addrtype: &AddrType<'_>, out: &mut String) {
    push(out, "-m addrtype");
    for (flag, value) in [("--src-type", addrtype.source), ("--dst-type", addrtype.destination)] {
        if let Some((not, value)) = value {
            negatable(not, flag, value, out);
        }
    }
    for (flag, set) in [("--limit-iface-in", addrtype.limit_in), ("--limit-iface-out", addrtype.limit_out)] {
        if set {
            push(out, flag);
        }
    }
}

#[inline]
fn words(words: &[Word<'_>], out: &mut String) {
    for word in words {
        if word.quoted {
            out.push(' ');
            quote_always(&word.text, out);
        } else {
            // libxt_nfacct prints its name with a blank of its own in front.
            let _ = write!(out, "{}{}", if out.ends_with("--nfacct-name") { "  " } else { blank(out) }, word.text);
        }
    }
}

/// A word that was quoted needs its quotes again even where iptables would not have set them.
#[inline]
fn quote_always(text: &str, out: &mut String) {
    let start = out.len();
    quote(text, out);
    if !out[start..].starts_with('"') {
        out.insert(start, '"');
        out.push('"');
    }
}

#[inline]
fn negatable(not: bool, flag: &str, value: &str, out: &mut String) {
    if not {
        push(out, "!");
    }
    option(flag, Some(value), out);
}

#[inline]
fn option(flag: &str, value: Option<&str>, out: &mut String) {
    let Some(value) = value else { return };
    push(out, flag);
    // iptables has no such values and never quotes them, but people can write anything. What a value could be read from
    // holds nothing to be escaped, and is not read where it does.
    if value.is_empty() || value == "!" || value.contains(|c: char| c.is_ascii_whitespace()) {
        out.push_str(" \"");
        out.push_str(value);
        out.push('"');
    } else {
        push(out, value);
    }
}

#[inline]
fn push(out: &mut String, text: &str) {
    out.push_str(blank(out));
    out.push_str(text);
}

#[inline]
fn blank(out: &str) -> &'static str {
    if out.is_empty() { "" } else { " " }
}

#[cfg(test)]
mod tests {
    use super::super::save;
    use super::*;

    /// Lines as real iptables printed them, and some that it would print.
    #[test]
    fn every_kind_of_match_comes_back_letter_for_letter() {
        for text in [
            r#"! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m comment --comment "a/b:c cluster IP" -m tcp --dport 53 -j X"#,
            "-p tcp -m recent --set --name L --mask 255.255.255.255 --rsource -m tcp -j DNAT --to-destination 10.0.0.1:80",
            "-m recent --rcheck --seconds 600 --reap --name L --mask 255.255.255.255 --rsource -j X",
            "-m statistic --mode random --probability 0.33333333349 -j X",
            "-m statistic --mode nth ! --every 3 --packet 1 -j X",
            "-m addrtype ! --src-type LOCAL --limit-iface-out -j MASQUERADE --random-fully",
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-j MARK --set-xmark 0x4000/0x0",
            "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            "-m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP",
            "-p tcp -m multiport --dports 80,443 -g CNI-DN-abc",
            r#"-i eth0 ! -o docker0 -m limit --limit 5/min -j LOG --log-prefix "in: " --log-level 7"#,
            r#"-m comment --comment "other traffic to ns/svc will be dropped by KUBE-PROXY-FIREWALL""#,
            "-m comment --comment plain -j X",
            r#"! -s "two words" -i "!" -p "" -j "X Y" --to "!""#,
            r#"-m "it's one" -j "X'Y Z""#,
        ] {
            let mut rule = Rule::default();
            save::parse(text, 0, &mut rule, Vec::new()).expect("a rule");
            assert_eq!(rule.emit(), text);
        }
    }
}
