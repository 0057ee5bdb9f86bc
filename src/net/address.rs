//! Socket addresses as rules write them: `10.0.0.1:80`, `[fd00::1]:80`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Splits `10.0.0.1:80`, `[fd00::1]:80`, `[fd00::1]` or a bare address into address and port.
///
/// `None` if the address is none, or the port is no number of 16 bits.
pub fn split_host_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        let port = match tail.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if tail.is_empty() => None,
            None => return None,
        };
        return Some((host.parse().ok()?, port));
    }
    // Without brackets a colon parts an address from its port only if it is the only one: IPv6 has several.
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => {
            let address: Ipv4Addr = host.parse().ok()?;
            Some((address.into(), Some(port.parse().ok()?)))
        }
        _ => Some((text.parse().ok()?, None)),
    }
}

/// An address written for a place where a port may follow: IPv6 goes in brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host(pub IpAddr);

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => {
                // Written at once: a large answer holds hundreds of thousands.
                let mut text = [0; "255.255.255.255.".len()];
                let mut end = 0;
                for octet in v4.octets() {
                    let digits = [octet / 100, octet / 10 % 10, octet % 10];
                    let blank = if octet < 10 { 2 } else { usize::from(octet < 100) };
                    for digit in &digits[blank..] {
                        text[end] = b'0' + digit;
                        end += 1;
                    }
                    text[end] = b'.';
                    end += 1;
                }
                f.pad(std::str::from_utf8(&text[..end - 1]).unwrap_or_default())
            }
            IpAddr::V6(v6) => write!(f, "[{v6}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn addresses_with_and_without_port() {
        assert_eq!(split_host_port("10.0.0.1:80"), Some((ip("10.0.0.1"), Some(80))));
        assert_eq!(split_host_port("10.0.0.1"), Some((ip("10.0.0.1"), None)));
        assert_eq!(split_host_port("[fd00::1]:80"), Some((ip("fd00::1"), Some(80))));
        assert_eq!(split_host_port("[fd00::1]"), Some((ip("fd00::1"), None)));
        assert_eq!(split_host_port("fd00::1:80"), Some((ip("fd00::1:80"), None)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", ":80", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:80x", "[fd00::1", "[fd00::1]80", "nginx:80"] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
    }

    #[test]
    fn hosts_are_written_as_the_standard_library_does() {
        for octet in 0..=255 {
            for text in [format!("{octet}.0.255.10"), format!("1.22.133.{octet}")] {
                assert_eq!(Host(ip(&text)).to_string(), text);
            }
        }
        assert_eq!(format!("{:>9}|{:<9}|", Host(ip("1.2.3.4")), Host(ip("1.2.3.4"))), "  1.2.3.4|1.2.3.4  |");
        assert_eq!(Host(ip("fd00::1")).to_string(), "[fd00::1]");
    }
}
