//! iptables rules seen through `nft list`: what an nf_tables host shows when someone saves with the wrong tool.
//!
//! nft prints what it can say in its own words and hides the rest (`xt match "statistic"`), so shares are mostly lost.
//! What it does say is turned back into rules; what it hides becomes a condition nobody can judge.

use std::fmt::Write as _;

use memchr::memmem;

use super::lossless::sample;

/// What stands where nft hides a condition, before the name of its module.
pub const HIDDEN: &str = " --nft-match ";

/// The rules in the form of `iptables-save`; `None` if `text` is no such listing.
#[inline]
pub fn restore_nft_view(text: &str) -> Option<String> {
    // `nft -a` has a handle behind it.
    let opens = |line: &str| {
        (line.starts_with("table ") || line.starts_with("chain "))
            && matches!(words(line).as_slice(), ["table", _, _, "{"] | ["chain", _, "{"])
    };
    // kube-proxy's own nftables mode has no chain with such a name.
    let is_view = || memmem::find(text.as_bytes(), b"chain KUBE-").is_some();
    (sample(text).lines().any(|line| opens(line.trim_start())) && is_view()).then(|| View::default().run(text))
}

#[derive(Default)]
struct View<'t> {
    out: String,
    chain: Option<&'t str>,
    in_table: bool,
}

impl<'t> View<'t> {
    #[inline]
    fn run(mut self, text: &'t str) -> String {
        for line in text.lines().map(str::trim) {
            let words: Vec<&str> = words(line);
            match words.as_slice() {
                ["table", _, name, "{"] => {
                    let _ = writeln!(self.out, "*{name}");
                    self.in_table = true;
                }
                ["chain", name, "{"] => {
                    let _ = writeln!(self.out, ":{name} - [0:0]");
                    self.chain = Some(name);
                }
                ["type", _, "hook", ..] => {
                    if let (Some(chain), Some(at)) = (self.chain, words.iter().position(|w| *w == "policy")) {
                        let policy =
                            words.get(at + 1).copied().unwrap_or_default().trim_end_matches(';').to_uppercase();
                        let _ = writeln!(self.out, ":{chain} {policy} [0:0]");
                    }
                }
                ["}"] if self.chain.take().is_some() => {}
                ["}"] if std::mem::take(&mut self.in_table) => self.out.push_str("COMMIT\n"),
                [] => {}
                words => match self.chain {
                    Some(chain) => {
                        let rule = rule(words);
                        let _ = writeln!(self.out, "-A {chain}{rule}");
                    }
                    None => {
                        let _ = writeln!(self.out, "{line}");
                    }
                },
            }
        }
        self.out
    }
}

/// One rule behind `-A CHAIN`.
#[inline]
fn rule(mut words: &[&str]) -> String {
    let mut matches = String::new();
    let mut target = String::new();
    while !words.is_empty() {
        let taken = target_of(words, &mut target).or_else(|| match_of(words, &mut matches));
        words = match taken {
            Some(count) => &words[count..],
            None => {
                let _ = write!(matches, " --nft {}", words[0]);
                &words[1..]
            }
        };
    }
    matches + &target
}

/// Turns the words of a match into options; how many words it was.
#[inline]
fn match_of(words: &[&str], out: &mut String) -> Option<usize> {
    let (not, value, count) = match words {
        [_, _, "!=", value, ..] => (" !", *value, 4),
        [_, _, value, ..] => ("", *value, 3),
        _ => ("", "", 2),
    };
    let _ = match words {
        ["meta", "l4proto", ..] | ["ip", "protocol", ..] => write!(out, "{not} -p {value}"),
        ["ip" | "ip6", "saddr", ..] => write!(out, "{not} -s {value}"),
        ["ip" | "ip6", "daddr", ..] => write!(out, "{not} -d {value}"),
        [module @ ("tcp" | "udp" | "sctp"), "dport", ..] => write!(out, " -m {module}{not} --dport {value}"),
        [module @ ("tcp" | "udp" | "sctp"), "sport", ..] => write!(out, " -m {module}{not} --sport {value}"),
        ["fib", "daddr", "type", "local", ..] => return write!(out, " -m addrtype --dst-type LOCAL").ok().map(|()| 4),
        ["fib", "saddr", "type", "local", ..] => return write!(out, " -m addrtype --src-type LOCAL").ok().map(|()| 4),
        ["counter", "packets", packets, "bytes", bytes, ..] => {
            return write!(out, " -c {packets} {bytes}").ok().map(|()| 5);
        }
        ["comment", text, ..] => return write!(out, " -m comment --comment {text}").ok().map(|()| 2),
        // Only its name is shown. A comment changes nothing; anything else is a hidden condition, which the name of its module
        // without the options would not be: chance is known to be chance without its share alone.
        ["xt", "match", name, ..] => {
            match name.trim_matches('"') {
                "comment" => {}
                "statistic" => out.push_str(" -m statistic"),
                name => {
                    let _ = write!(out, "{HIDDEN}{name}");
                }
            }
            return Some(3);
        }
        _ => return None,
    };
    Some(count)
}

/// Turns the words of a verdict into `-j`; how many words it was.
#[inline]
fn target_of(words: &[&str], out: &mut String) -> Option<usize> {
    let _ = match words {
        ["jump", chain, ..] => return write!(out, " -j {chain}").ok().map(|()| 2),
        ["goto", chain, ..] => return write!(out, " -g {chain}").ok().map(|()| 2),
        ["dnat", "to", address, ..] => return write!(out, " -j DNAT --to-destination {address}").ok().map(|()| 3),
        ["xt", "target", name, ..] => return write!(out, " -j {}", name.trim_matches('"')).ok().map(|()| 3),
        ["return", ..] => write!(out, " -j RETURN"),
        ["accept", ..] => write!(out, " -j ACCEPT"),
        ["drop", ..] => write!(out, " -j DROP"),
        ["reject", ..] => return write!(out, " -j REJECT").ok().map(|()| words.len()),
        ["masquerade", ..] => return write!(out, " -j MASQUERADE").ok().map(|()| words.len()),
        ["meta", "mark", "set", ..] | ["mark", "set", ..] => return write!(out, " -j MARK").ok().map(|()| words.len()),
        _ => return None,
    };
    Some(1)
}

/// Splits at blanks outside double quotes; `#` begins a remark.
#[inline]
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let end = match rest.strip_prefix('"').and_then(|inner| inner.find('"')) {
            Some(quote) => quote + 2,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        words.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nft_says_becomes_rules() {
        let text = r#"
            table ip nat {
                chain KUBE-SVC-X {
                    meta l4proto tcp ip saddr != 10.244.0.0/16 ip daddr 10.96.0.1 tcp dport 443 counter packets 1 bytes 60 jump KUBE-MARK-MASQ
                    xt match "comment" xt match "statistic" counter packets 0 bytes 0 jump KUBE-SEP-A
                    counter packets 0 bytes 0 jump KUBE-SEP-B
                }
                chain KUBE-SEP-B {
                    meta l4proto tcp counter packets 3 bytes 180 dnat to 10.0.0.1:80
                }
                chain PREROUTING {
                    type nat hook prerouting priority dstnat; policy accept;
                    fib daddr type local jump KUBE-NODEPORTS
                }
            }"#;
        let restored = restore_nft_view(text).expect("a listing of iptables rules");
        assert_eq!(
            restored.lines().collect::<Vec<_>>(),
            [
                "*nat",
                ":KUBE-SVC-X - [0:0]",
                "-A KUBE-SVC-X -p tcp ! -s 10.244.0.0/16 -d 10.96.0.1 -m tcp --dport 443 -c 1 60 -j KUBE-MARK-MASQ",
                "-A KUBE-SVC-X -m statistic -c 0 0 -j KUBE-SEP-A",
                "-A KUBE-SVC-X -c 0 0 -j KUBE-SEP-B",
                ":KUBE-SEP-B - [0:0]",
                "-A KUBE-SEP-B -p tcp -c 3 180 -j DNAT --to-destination 10.0.0.1:80",
                ":PREROUTING - [0:0]",
                ":PREROUTING ACCEPT [0:0]",
                "-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
                "COMMIT",
            ]
        );
    }

    #[test]
    fn the_nftables_mode_of_kube_proxy_is_no_such_listing() {
        assert_eq!(restore_nft_view("table ip kube-proxy {\n chain service-ABC {\n }\n}"), None);
    }
}
