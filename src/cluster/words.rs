//! What others say (a server, a proxy, a credential plugin, a parser of kubeconfigs) as it is told: in one line, and without
//! what somebody proves by who they are.

use crate::shorten::shortened;

/// Characters of an error that are told.
const LONGEST: usize = 300;

/// A text without the names and passwords that addresses in it have (`http://name:password@proxy:3128`).
pub(super) fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut told = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |c: char| c.is_whitespace() || "/?#\"'`<>".contains(c);
        let authority = &part[..part.find(is_end).unwrap_or(part.len())];
        let user = authority.rfind('@').map_or(0, |at| at + 1);
        told.push_str("://");
        told.push_str(&part[user..]);
    }
    told
}

/// One line of no great length, without the operating system's error number, excerpts of files, and names and passwords.
pub(super) fn words(text: &str) -> String {
    if text.trim_start().starts_with('<') {
        return "a page of HTML, as a proxy sends it".to_owned();
    }
    let text = text.split("-->").next().unwrap_or(text);
    let line = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let line = without_users(line.split(" (os error").next().unwrap_or(&line));
    shortened(&line, LONGEST).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_users() {
        for (text, told) in [
            ("http://a:b@h:1/x?y", "http://h:1/x?y"),
            ("proxy socks5://a:b@c@h, then https://h/@x", "proxy socks5://h, then https://h/@x"),
            ("http://h", "http://h"),
            ("a@b: no address", "a@b: no address"),
            ("\"ftp://me@h\"", "\"ftp://h\""),
        ] {
            assert_eq!(without_users(text), told);
        }
    }
}
