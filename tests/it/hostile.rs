//! Input made or broken to hurt: bounded time and memory, no panic, nothing that steers a terminal.

use std::fmt::Write as _;

use serde_json::Value;

use crate::run::{kube_ipt, node};

const PORTAL: &str =
    "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n";

fn share(document: &Value) -> Option<f64> {
    document["services"][0]["pools"][0]["endpoints"][0]["probability"].as_f64()
}

#[test]
fn sixty_doubling_jumps_answer_at_once() {
    let mut dump = PORTAL.to_owned();
    dump.push_str("-A KUBE-SVC-X -j D0\n");
    for n in 0..60 {
        let _ = writeln!(dump, "-A D{n} -m statistic --mode random --probability 0.50000000000 -j D{}", n + 1);
        let _ = writeln!(dump, "-A D{n} -j D{}", n + 1);
    }
    dump.push_str("-A D60 -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n");
    let document = kube_ipt("show").stdin(dump).json();
    assert_eq!(share(&document), Some(1.0));
}

#[test]
fn chains_that_only_return_are_passed_as_often_as_they_are_called() {
    let mut dump = PORTAL.to_owned();
    for n in 0..60 {
        let _ = writeln!(dump, "-N R{n}\n-A R{n} -j R{}\n-A R{n} -j R{}", n + 1, n + 1);
    }
    dump.push_str("-N R60\n-A KUBE-SVC-X -j R0\n-A KUBE-SVC-X -j KUBE-SEP-A\n");
    dump.push_str("-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n");
    let document = kube_ipt("show").stdin(dump).json();
    assert_eq!(share(&document), Some(1.0));
}

#[test]
fn a_jump_loop_is_reported_and_not_followed() {
    let dump = PORTAL.to_owned()
        + "-A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j A\n\
           -A KUBE-SVC-X -j KUBE-SEP-A\n-A A -j B\n-A B -j A\n\
           -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n";
    let tree = kube_ipt("show").stdin(&dump).stdout();
    assert!(tree.contains("! A jumps back to itself: no kernel loads such rules; shares unknown"), "{tree}");
    let document = kube_ipt("show").stdin(&dump).json();
    assert_eq!(share(&document), None);
    assert_eq!(document["services"][0]["status"], "unknown");
    let own = PORTAL.to_owned() + "-A KUBE-SVC-X -j KUBE-SVC-X\n";
    let tree = kube_ipt("show").stdin(own).stdout();
    assert!(tree.contains("! KUBE-SVC-X jumps back to itself"), "{tree}");
}

#[test]
fn a_loop_before_the_pool_ends_too() {
    let dump = "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-EXT-X\n\
                -A KUBE-EXT-X -j KUBE-FW-X\n-A KUBE-FW-X -j KUBE-EXT-X\n";
    let document = kube_ipt("show").stdin(dump).json();
    assert_eq!(document["services"][0]["frontends"][0]["routes"][0]["verdict"], Value::Null);
    assert_eq!(document["services"][0]["status"], "unknown");
}

#[test]
fn two_hundred_thousand_chains_deep() {
    let mut dump = PORTAL.to_owned();
    dump.push_str("-A KUBE-SVC-X -j D0\n");
    for n in 0..200_000 {
        let _ = writeln!(dump, "-A D{n} -j D{}", n + 1);
    }
    dump.push_str("-A D200000 -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n");
    let tree = kube_ipt("show").stdin(&dump).stdout();
    assert!(tree.contains("100.00 %"), "{tree}");
    assert!(tree.contains("! chains nest 200003 deep; nf_tables loads no more than 16 jumps"), "{tree}");
}

#[test]
fn interleaved_chains_cost_no_square() {
    let mut dump = PORTAL.to_owned();
    for round in 0..5 {
        for n in 0..20_000 {
            let _ = writeln!(dump, "-A KUBE-SEP-{n} -s 10.0.{}.{round}/32 -j KUBE-MARK-MASQ", n % 256);
        }
    }
    for n in 0..20_000 {
        let _ = writeln!(dump, "-A KUBE-SVC-X -m statistic --mode random --probability 0.00100000000 -j KUBE-SEP-{n}");
        let _ =
            writeln!(dump, "-A KUBE-SEP-{n} -p tcp -m tcp -j DNAT --to-destination 10.{}.{}.1:80", n / 256, n % 256);
    }
    let document = kube_ipt("show").stdin(dump).json();
    assert_eq!(document["services"][0]["pools"][0]["endpoints"].as_array().map(Vec::len), Some(20_000));
}

#[test]
fn doubling_jumps_before_the_pool_end_too() {
    let mut dump = PORTAL.replace("KUBE-SVC-X", "KUBE-EXT-X") + "-A KUBE-EXT-X -j C0\n";
    for n in 0..40 {
        let _ = write!(dump, "{}", format!("-A C{n} -j C{}\n", n + 1).repeat(4));
    }
    dump.push_str("-A C40 -m set --match-set x src -j RETURN\n-A KUBE-EXT-X -j KUBE-SVC-X\n");
    dump.push_str("-A KUBE-SVC-X -p tcp -j DNAT --to-destination 10.0.0.1:80\n");
    let document = kube_ipt("show").stdin(dump).json();
    // More rules than are followed: the answer is that it cannot be told, not that nothing is captured.
    assert_eq!(document["services"][0]["frontends"][0]["routes"][0]["verdict"], Value::Null);
}

#[test]
fn characters_of_several_bytes_are_never_cut() {
    for line in [
        "[a] aa\u{e9}] -A KUBE-SERVICES -j Y",
        "[\u{e9}] -A \u{e9}",
        "-A \u{e9}",
        ":\u{e9}",
        "[1:2] -A",
        "Chain \u{e9} (policy \u{e9}",
    ] {
        let (_, stderr, status) = kube_ipt("show -v").stdin(format!("{PORTAL}{line}\n")).output();
        assert!(status.is_some_and(|s| s < 3) && !stderr.contains("panicked"), "{line}: {stderr}");
    }
}

#[test]
fn one_destination_with_many_marks_and_services_costs_no_square() {
    let mut dump = String::new();
    for n in 0..20_000 {
        let at = "-d 10.96.0.1/32 -p tcp -m tcp --dport 80";
        let _ = writeln!(dump, "-A KUBE-SERVICES {at} -j KUBE-MARK-MASQ\n-A KUBE-SERVICES {at} -j KUBE-SVC-{n}");
        let _ = writeln!(
            dump,
            "-A KUBE-SERVICES -d 10.97.{}.{}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-X",
            n / 256,
            n % 256
        );
    }
    let document = kube_ipt("list").stdin(dump).json();
    assert_eq!(document["services"].as_array().map(Vec::len), Some(20_001));
}

#[test]
fn a_hundred_thousand_fragments_cost_no_square() {
    let mut dump = PORTAL.to_owned();
    for n in 0..100_000 {
        let _ = writeln!(dump, "-N C{n}\n-A C{n} -j RETURN");
    }
    let document = kube_ipt("list").stdin(dump).json();
    assert_eq!(document["services"].as_array().map(Vec::len), Some(1));
}

#[test]
fn looking_for_an_address_among_many_services_costs_no_square() {
    let dump = crate::generate::nat(20_000, 1);
    for what in ["10.128.0.77", "10.1.1.1", "KUBE-SEP-ZZZ", "KUBE-SVC-ZZZ"] {
        let (_, _, status) = kube_ipt("show").arg(what).stdin(&dump).output();
        assert_eq!(status, Some(i32::from(what != "10.128.0.77")), "{what}");
    }
}

#[test]
fn a_line_of_ten_megabytes_is_a_line() {
    let dump = format!("{PORTAL}-A KUBE-SVC-X -m comment --comment \"{}\" -j KUBE-SEP-A\n", "x".repeat(10 << 20));
    let document = kube_ipt("show").stdin(dump).json();
    assert_eq!(document["services"][0]["status"], "unknown");
}

#[test]
fn nothing_in_a_dump_steers_the_terminal() {
    let evil = "\u{1b}]0;owned\u{7}\u{1b}[31m\u{202e}\u{9b}2J\u{200b}";
    let dump = format!(
        "{evil} no rule\n-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP {evil}\" -m tcp --dport 80 -j KUBE-SVC-{evil}\n\
         -A KUBE-SVC-{evil} -m comment --comment \"{evil}\" -j KUBE-SEP-{evil}\n\
         -A KUBE-SEP-{evil} -p tcp -m tcp -j DNAT --to-destination {evil}\n"
    );
    let unsafe_in =
        |text: &str| text.chars().find(|c| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}".contains(*c));
    for args in [
        "show",
        "show -v",
        "show --rules",
        "show -o table",
        "show -o wide",
        "list",
        "list -o wide",
        "show -o json",
        "show -o yaml",
    ] {
        let (stdout, stderr, status) = kube_ipt(args).stdin(&dump).output();
        assert_eq!(status, Some(0), "{args}: {stderr}");
        assert_eq!(unsafe_in(&stdout), None, "{args}: {stdout:?}");
        assert_eq!(unsafe_in(&stderr), None, "{args}: {stderr:?}");
    }
    // What was escaped is still all there.
    let document = kube_ipt("show -o json").stdin(&dump).output().0;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["services"][0]["pools"][0]["chain"], format!("KUBE-SVC-{evil}").as_str());
    let (_, stderr, _) = kube_ipt("show").arg(format!("no{evil}")).stdin(&dump).output();
    assert_eq!(unsafe_in(&stderr), None, "{stderr:?}");
}

/// A generator of numbers that is the same every time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).expect("small")
    }
}

#[test]
fn two_hundred_broken_recordings_never_panic() {
    let recordings = ["save-c.txt", "nat-S.txt", "nat-L-n-v.txt", "nat-L-n-line-numbers.txt"];
    let recordings =
        recordings.map(|f| std::fs::read(node(&format!("kitchen-sink/node2/{f}"))).expect("the fixture is there"));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..200 {
        let mut dump = recordings[round % recordings.len()].clone();
        for _ in 0..=dice.roll(40) {
            let at = dice.roll(dump.len());
            match dice.roll(5) {
                0 => dump[at] = u8::try_from(dice.roll(256)).expect("a byte"),
                1 => dump.truncate(at.max(1)),
                2 => drop(dump.drain(at..(at + dice.roll(300)).min(dump.len()))),
                3 => dump.insert(at, b"\n\" !-:[*#\x1b\0"[dice.roll(11)]),
                _ => {
                    let line: Vec<u8> = dump[at..].iter().copied().take_while(|b| *b != b'\n').collect();
                    let to = dice.roll(dump.len());
                    dump.splice(to..to, line);
                }
            }
            if dump.is_empty() {
                dump.push(b'x');
            }
        }
        let args =
            ["show --rules -v", "list -o wide", "show -o json", "show 10.244.2.4 gw-lb KUBE-SEP-X"][dice.roll(4)];
        let (stdout, stderr, status) = kube_ipt(args).stdin(&dump).output();
        assert!(matches!(status, Some(0..=2)), "round {round}: {args}: {status:?}\n{stderr}");
        assert!(!stderr.contains("panicked"), "round {round}: {stderr}");
        assert!(status != Some(2) || stdout.is_empty(), "round {round}: an error printed to stdout");
    }
}

/// No chain can be called as a target is, but a text can say so.
#[test]
fn a_chain_called_as_the_target_that_translates_is_none() {
    let marks = "-A KUBE-SEP-X -s 10.0.0.1/32 -j KUBE-MARK-MASQ\n".repeat(4);
    for translation in ["-p tcp -m tcp -j DNAT", "-p tcp -d 10.96.0.1/32 -m tcp -j DNAT"] {
        let rules = format!(
            "-N DNAT\n-A DNAT -j RETURN\n{PORTAL}-A KUBE-SVC-X -j KUBE-SEP-X\n{marks}\
             -A KUBE-SEP-X {translation} --to-destination 10.0.0.1:80\n"
        );
        let document = kube_ipt("show").stdin(rules).json();
        assert_eq!(document["services"][0]["pools"][0]["endpoints"][0]["address"], "10.0.0.1:80", "{translation}");
    }
}
