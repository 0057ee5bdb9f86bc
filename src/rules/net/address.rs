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
                let text = V4Text::of(v4, None);
                f.pad(std::str::from_utf8(text.as_bytes()).unwrap_or_default())
            }
            IpAddr::V6(v6) => write!(f, "[{v6}]"),
        }
    }
}

/// An IPv4 address, or one with a port, as text that takes no memory from elsewhere: a large answer holds hundreds of thousands.
#[derive(Debug, Clone, Copy)]
pub struct V4Text {
    text: [u8; "255.255.255.255:65535".len()],
    end: usize,
}

impl V4Text {
    /// `10.0.0.1`, or `10.0.0.1:80`
    pub fn of(address: Ipv4Addr, port: Option<u16>) -> Self {
        let mut written = Self { text: [0; _], end: 0 };
        for (nth, octet) in address.octets().into_iter().enumerate() {
            if nth > 0 {
                written.push(b'.');
            }
            written.number(octet.into());
        }
        if let Some(port) = port {
            written.push(b':');
            written.number(port);
        }
        written
    }

    /// The text, all of it ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.end]
    }

    fn push(&mut self, byte: u8) {
        self.text[self.end] = byte;
        self.end += 1;
    }

    fn number(&mut self, number: u16) {
        let digits = [number / 10_000, number / 1000 % 10, number / 100 % 10, number / 10 % 10, number % 10];
        let blank = digits[..4].iter().take_while(|digit| **digit == 0).count();
        for digit in &digits[blank..] {
            self.push(b'0' + digit.to_le_bytes()[0]);
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
        for port in 0..=u16::MAX {
            let text = V4Text::of(Ipv4Addr::new(9, 80, 100, 0), Some(port));
            assert_eq!(text.as_bytes(), format!("9.80.100.0:{port}").as_bytes());
        }
        assert_eq!(format!("{:>9}|{:<9}|", Host(ip("1.2.3.4")), Host(ip("1.2.3.4"))), "  1.2.3.4|1.2.3.4  |");
        assert_eq!(Host(ip("fd00::1")).to_string(), "[fd00::1]");
    }
}
