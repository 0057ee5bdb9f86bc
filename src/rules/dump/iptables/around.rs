//! What a line tells that is no rule: commands echoed above a dump, prompts, log lines, and the family of addresses.

use super::names::{Backend, TableName};
use super::scan::Hints;
use crate::net::{Family, split_host_port};

/// What a line tells that is an iptables command with its options, behind a prompt or alone.
pub(super) fn command_line(line: &str, hints: Hints) -> Option<Hints> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let at = words.iter().position(|w| name(w).starts_with("iptables") || name(w).starts_with("ip6tables"))?;
    let program = name(words[at]);
    let options = &words[at + 1..];
    // `iptables v1.8.9 (nf_tables): …` is a message, `… iptables rules …` is prose.
    let is_command = options.first().is_none_or(|w| w.starts_with('-') || matches!(*w, "|" | ">"));
    let prompt = words[..at]
        .iter()
        .all(|w| matches!(*w, "sudo" | "$" | "#") || w.ends_with(['$', '#', '>', ']']) || w.contains('@'));
    if !is_command || !prompt {
        return None;
    }
    let table = options.iter().enumerate().find_map(|(n, word)| match *word {
        "-t" | "--table" => options.get(n + 1).copied(),
        word => word.strip_prefix("--table=").or_else(|| word.strip_prefix("-t")),
    });
    // Without -t, iptables lists the filter table; iptables-save prints all.
    let lists = options.iter().any(|w| w.starts_with("-S") || w.starts_with("-L") || w.contains("list"));
    let guess = (lists && !program.ends_with("-save")).then_some(TableName::Filter);
    let family = if program.starts_with("ip6") { Family::Ipv6 } else { Family::Ipv4 };
    let backend = match () {
        () if program.contains("-nft") => Some(Backend::NfTables),
        () if program.contains("-legacy") => Some(Backend::Legacy),
        () => None,
    };
    Some(Hints {
        family: hints.family.or(Some(family)),
        backend: backend.or(hints.backend),
        table: table.and_then(TableName::parse).or(hints.table).or(guess),
        table_guessed: table.is_none() && hints.table.is_none() && guess.is_some(),
        provenance: hints.provenance,
    })
}

/// The family of the first address in a rule, if it has one. Addresses stand before any free text.
pub(super) fn family_of(rule: &str) -> Option<Family> {
    rule.split_ascii_whitespace().take_while(|w| !w.starts_with('"') && *w != "/*").find_map(|word| {
        let word = word.trim_start_matches('!').trim_start_matches('[');
        let address = word.split(['/', ']']).next().unwrap_or(word);
        address.parse().ok().map(Family::of)
    })
}

/// The family of the endpoint in the comment of a rule of kube-proxy: `"ns/svc:port -> [fd00::1]:80"`.
pub(super) fn commented_family(rule: &str) -> Option<Family> {
    let (_, endpoint) = rule.split_once(" -> ")?;
    let endpoint = endpoint.split(['"', ' ']).next()?;
    split_host_port(endpoint).map(|(address, _)| Family::of(address))
}

/// `user@host:~# …`, `[user@host ~]$ …`, `$ …`
pub(super) fn is_prompt(line: &str) -> bool {
    matches!(line, "$" | "#")
        || line.starts_with("$ ")
        || (line.contains('@') && (line.contains("# ") || line.contains("$ ") || line.ends_with(['#', '$'])))
}

/// A klog line (`I1122 08:52:28.000000 …`), or the bracket that closes a multi-line value of one.
pub(super) fn is_log(line: &str) -> bool {
    let bytes = line.as_bytes();
    line == ">" || (bytes.len() > 5 && b"IWEF".contains(&bytes[0]) && bytes[1..5].iter().all(u8::is_ascii_digit))
}
