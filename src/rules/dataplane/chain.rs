//! Names of chains that there are very many of.

use std::fmt;
use std::ops::Deref;

/// As long as the names of iptables get, which have up to 28 bytes (`XT_EXTENSION_MAXNAMELEN`,
/// include/uapi/linux/netfilter/x_tables.h). An endpoint's chain in nftables mode tells Service and address and is longer.
const SHORT: usize = 30;

/// The name of a chain. One of iptables stands in it, so that a hundred thousand of them are not as many pieces of memory.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ChainName(Held);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Held {
    /// So many of these bytes, which are UTF-8; the others are 0.
    Here(u8, [u8; SHORT]),
    /// One that is longer.
    Elsewhere(Box<str>),
}

impl From<&str> for ChainName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        Self(match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(own), Ok(length)) => {
                own.copy_from_slice(name.as_bytes());
                Held::Here(length, bytes)
            }
            _ => Held::Elsewhere(name.into()),
        })
    }
}

impl ChainName {
    /// The name in UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Here(length, bytes) => &bytes[..usize::from(*length)],
            Held::Elsewhere(name) => name.as_bytes(),
        }
    }
}

impl Deref for ChainName {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // They were taken from a text as a whole.
            Held::Here(..) => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Held::Elsewhere(name) => name,
        }
    }
}

impl fmt::Debug for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_are_kept() {
        for length in [0, 1, 25, 28, SHORT - 1, SHORT, SHORT + 1, 255, 256, 5000] {
            for name in ["x".repeat(length), "ä".repeat(length / 2)] {
                let chain = ChainName::from(name.as_str());
                assert_eq!(
                    (&*chain, chain.to_string(), format!("{chain:?}")),
                    (&*name, name.clone(), format!("{name:?}"))
                );
                assert_eq!((chain.as_bytes(), &chain), (name.as_bytes(), &chain.clone()));
                assert_ne!(chain, ChainName::from(format!("{name}y").as_str()));
                assert_eq!(matches!(chain.0, Held::Here(..)), name.len() <= SHORT);
            }
        }
    }
}
