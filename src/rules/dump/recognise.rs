//! Says what a text is that holds no iptables rules, so that an error can name it.

use std::fmt;

use super::iptables::is_row;

/// A kind of text that is no iptables dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Nothing, or only blanks.
    Empty,
    /// Bytes that are no text.
    Binary,
    /// Compressed with gzip.
    Gzip,
    /// A web page.
    Html,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// JSON or YAML with what every object of an API server has.
    Objects,
    /// `ipvsadm -Ln` or `ipvsadm -Sn`.
    Ipvsadm,
    /// `ipset save` or `ipset list`.
    Ipset,
    /// `nft list …` in either form.
    Nft,
    /// Rows of `iptables -L` without the lines that tell whose they are.
    Rows,
    /// None of these.
    Unknown,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::Binary => "is binary data",
            Self::Gzip => "is compressed with gzip",
            Self::Html => "looks like a web page (HTML)",
            Self::Json => "looks like JSON",
            Self::Yaml => "looks like YAML",
            Self::Objects => "holds objects of an API server, not rules",
            Self::Ipvsadm => "looks like an ipvsadm listing",
            Self::Ipset => "looks like an ipset listing",
            Self::Nft => "looks like an nft listing",
            Self::Rows => "holds rows of iptables -L without their headings, which name the chains",
            Self::Unknown => "holds no line of an iptables dump",
        })
    }
}

/// True for the magic number of gzip, as it is and as text in which its second byte was replaced.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with("\u{1f}\u{fffd}".as_bytes())
}

/// What `bytes` look like. Only meaningful for a text in which no rules were found.
pub fn recognise(bytes: &[u8]) -> Foreign {
    if is_gzip(bytes) {
        return Foreign::Gzip;
    }
    if bytes.contains(&0) {
        return Foreign::Binary;
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64 * 1024)]);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(first) = lines().next() else {
        // Nothing but comments, or what looks like one because its lines end in another way.
        return if text.trim().is_empty() { Foreign::Empty } else { Foreign::Unknown };
    };
    let any = |test: fn(&str) -> bool| lines().take(200).any(test);
    if any(|l| {
        l.starts_with("IP Virtual Server")
            || l.starts_with("-A -t ")
            || l.starts_with("-a -t ")
            || l.starts_with("-A -u ")
    }) {
        return Foreign::Ipvsadm;
    }
    if any(|l| (l.starts_with("create ") && l.contains(" hash:")) || l.starts_with("Type: hash:")) {
        return Foreign::Ipset;
    }
    let lower = first.to_ascii_lowercase();
    if lower.starts_with("<!doctype") || lower.starts_with("<html") {
        return Foreign::Html;
    }
    let is_json =
        first.starts_with('{') || first == "[" || first.starts_with("[{") || first.starts_with("[\"") || first == "[]";
    if is_json {
        return match text.as_ref() {
            json if json.contains("\"nftables\"") => Foreign::Nft,
            json if json.contains("\"apiVersion\"") && json.contains("\"kind\"") => Foreign::Objects,
            _ => Foreign::Json,
        };
    }
    if any(|l| (l.starts_with("table ") || l.starts_with("chain ")) && l.ends_with('{')) {
        return Foreign::Nft;
    }
    match (any(|l| l.starts_with("apiVersion:")), any(|l| l.starts_with("kind:"))) {
        (true, true) => return Foreign::Objects,
        (false, false) if first != "---" => {}
        _ => return Foreign::Yaml,
    }
    if any(|l| is_row(l) && l.contains("KUBE-")) {
        return Foreign::Rows;
    }
    Foreign::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_named() {
        for (text, kind) in [
            ("", Foreign::Empty),
            (" \n\n", Foreign::Empty),
            ("\u{0}\u{1}", Foreign::Binary),
            ("<!DOCTYPE html><html>", Foreign::Html),
            ("{\"apiVersion\": \"v1\"}", Foreign::Json),
            ("{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"List\"}", Foreign::Objects),
            ("{\"nftables\": []}", Foreign::Nft),
            ("table ip kube-proxy {\n}", Foreign::Nft),
            ("apiVersion: v1\nkind: List", Foreign::Objects),
            ("---\na: b", Foreign::Yaml),
            ("IP Virtual Server version 1.2.1 (size=4096)", Foreign::Ipvsadm),
            ("-A -t 10.96.0.1:443 -s rr", Foreign::Ipvsadm),
            ("create KUBE-X hash:ip,port family inet", Foreign::Ipset),
            ("KUBE-SVC-X  tcp  --  anywhere   10.96.0.10   tcp dpt:domain", Foreign::Rows),
            ("dear all,", Foreign::Unknown),
        ] {
            assert_eq!(recognise(text.as_bytes()), kind, "{text:?}");
        }
        assert_eq!(recognise(&[0x1f, 0x8b, 8]), Foreign::Gzip);
    }
}
