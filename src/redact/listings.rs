//! Listings of `ipvsadm`, `ipset` and `ip addr`, and kube-proxy's word on its mode. All are columns of words.

use super::tokens;
use super::word::Writer;
use crate::dataplane::Mode;
use crate::dump::addresses::STATES;

impl Writer<'_> {
    /// Writes virtual servers.
    pub(super) fn ipvsadm(&mut self, text: &str) {
        const BEGIN: [&str; 14] = [
            "-A",
            "-a",
            "--add-service",
            "--add-server",
            "->",
            "TCP",
            "UDP",
            "SCTP",
            "FWM",
            "IP",
            "Prot",
            "IPVS",
            "pro",
            "COMMIT",
        ];
        self.lines(text, |writer, line| {
            let first = line.split_ascii_whitespace().next().unwrap_or_default();
            // The version is none that a reader asks for.
            if line.trim_start().starts_with("IP Virtual Server version ") {
                writer.push("IP Virtual Server version 1.2.1 (size=4096)");
                return true;
            }
            let known = BEGIN.contains(&first);
            if known {
                writer.words(line);
            }
            known
        });
    }

    /// Writes ipsets.
    pub(super) fn ipset(&mut self, text: &str) {
        const BEGIN: [&str; 13] = [
            "create",
            "add",
            "-N",
            "-A",
            "Name:",
            "Type:",
            "Revision:",
            "Header:",
            "Size",
            "References:",
            "Number",
            "Members:",
            "COMMIT",
        ];
        let mut in_members = false;
        self.lines(text, |writer, line| {
            let first = line.split_ascii_whitespace().next().unwrap_or_default();
            if line.trim_start().starts_with('#') {
                return writer.remark(line);
            }
            let begins = BEGIN.contains(&first);
            in_members = if begins { first == "Members:" } else { in_members };
            if !begins && !in_members {
                return false;
            }
            let mut comment = false;
            for token in tokens::of(line, false) {
                writer.push(token.blank);
                match token.quoted {
                    Some(text) if comment => writer.in_quotes(token.closed, |writer| writer.comment(text)),
                    Some(text) => writer.in_quotes(token.closed, |writer| writer.unknown(text)),
                    None => writer.word(token.text),
                }
                comment = token.text == "comment";
            }
            true
        });
    }

    /// Writes interfaces and their addresses.
    pub(super) fn interfaces(&mut self, text: &str) {
        self.of_interfaces = true;
        self.lines(text, |writer, line| {
            let mut words = line.split_ascii_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let index = first.strip_suffix(':').is_some_and(|number| number.parse::<u32>().is_ok());
            let part = matches!(first, "inet" | "inet6" | "valid_lft" | "altname") || first.starts_with("link/");
            let known = index || part || STATES.contains(&second);
            if known {
                // With -o a backslash stands for a line break.
                for (at, part) in line.split('\\').enumerate() {
                    writer.push(if at > 0 { "\\" } else { "" });
                    writer.words(part);
                }
            }
            known
        });
    }

    /// Writes kube-proxy's mode, without the head of the response it came in.
    pub(super) fn proxy_mode(&mut self, text: &str) {
        let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        self.lines(last, |writer, line| {
            let known = Mode::parse(line).is_some();
            if known {
                writer.push(line);
            }
            known
        });
    }
}
