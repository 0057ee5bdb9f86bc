//! Socket addresses as rules write them: `10.0.0.1:80`, `[fd00::1]:80`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Splits `10.0.0.1:80`, `[fd00::1]:80`, `[fd00::1]` or a bare address into address and port.
///
/// `None` if the address is none, or the port is no number of 16 bits.
pub fn split_host_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Some((address, port)) = plain(text.as_bytes()) {
        return Some((address.into(), port));
    }
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

/// An address alone.
pub(super) fn ip(text: &str) -> Option<IpAddr> {
    match plain(text.as_bytes()) {
        Some((address, None)) => Some(address.into()),
        _ => text.parse().ok(),
    }
}

/// An IPv4 address, with or without a port, written with nothing but digits that count, as iptables prints them. A large dump has
/// a hundred thousand, and the standard library, which reads whatever is left, takes a few times as long.
fn plain(text: &[u8]) -> Option<(Ipv4Addr, Option<u16>)> {
    let (mut octets, mut left) = ([0; 4], text);
    for (nth, octet) in octets.iter_mut().enumerate() {
        let rest = if nth == 0 { left } else { left.strip_prefix(b".")? };
        let (number, rest) = digits(rest, 3)?;
        (*octet, left) = (u8::try_from(number).ok()?, rest);
    }
    let port = match left.split_first() {
        None => None,
        Some((b':', port)) => {
            let (port, _) = digits(port, 5).filter(|(_, rest)| rest.is_empty())?;
            Some(u16::try_from(port).ok()?)
        }
        Some(_) => return None,
    };
    Some((octets.into(), port))
}

/// The number that a text begins with, of no more than `most` digits and none that does not count, and what is behind it.
fn digits(text: &[u8], most: usize) -> Option<(u32, &[u8])> {
    let (mut number, mut count) = (0, 0);
    while let Some(digit) = text.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        number = number * 10 + u32::from(digit);
        count += 1;
        if count > most {
            return None;
        }
    }
    let counts = count == 1 || (count > 1 && text[0] != b'0');
    counts.then(|| (number, &text[count..]))
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
        for of in [10_000, 1000, 100, 10] {
            if number >= of {
                self.digit(number / of);
            }
        }
        self.digit(number);
    }

    /// The last digit of a number.
    fn digit(&mut self, number: u16) {
        self.push(b'0' + (number % 10).to_le_bytes()[0]);
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
    fn plain_addresses_are_read_as_the_standard_library_does() {
        for octet in 0..=300 {
            for text in [format!("{octet}.0.255.10"), format!("1.22.133.{octet}"), format!("1.2.3.{octet:02}")] {
                let expected = text.parse::<Ipv4Addr>().ok();
                assert_eq!(split_host_port(&text).map(|(ip, _)| ip), expected.map(IpAddr::from), "{text}");
                assert!(plain(text.as_bytes()).is_none_or(|(ip, _)| Some(ip) == expected), "{text}");
            }
        }
        for port in 0..=u16::MAX {
            let text = format!("9.80.100.0:{port}");
            assert_eq!(plain(text.as_bytes()), Some((Ipv4Addr::new(9, 80, 100, 0), Some(port))));
        }
        for odd in ["1.2.3.4:0080", "1.2.3.4:+80", "::ffff:1.2.3.4"] {
            assert_eq!((plain(odd.as_bytes()), split_host_port(odd).is_some()), (None, true), "{odd}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4:8080:80",
            "1.2.3.4 ",
            "1..3.4",
            "01.2.3.4",
            "1.2.3.4:123456",
            "",
            ":80",
            "10.0.0.1:",
            "10.0.0.1:65536",
            "10.0.0.1:80x",
            "[fd00::1",
            "[fd00::1]80",
            "nginx:80",
        ] {
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
