//! Numbers as the programs of netfilter print them.

/// A mark, mask or constant: `0x4000` or `16384`; `None` for what is neither.
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bases_are_read() {
        assert_eq!([number("0x4000"), number("16384"), number("8")], [Some(0x4000), Some(0x4000), Some(8)]);
        assert_eq!([number("new"), number("0x"), number("4294967296"), number("")], [None; 4]);
    }
}
