//! The mark of a packet, as MARK changes it and `-m mark` asks for it.

use crate::dump::iptables::Target;
use crate::net::number;

/// The mark a MARK target leaves (`mark_tg`, net/netfilter/xt_mark.c: the mask is cleared, the value is toggled); `None` if
/// its options cannot be read.
pub fn apply(target: &Target<'_>, mark: u32) -> Option<u32> {
    if let Some((value, mask)) = target.option("--set-xmark").and_then(masked) {
        return Some((mark & !mask) ^ value);
    }
    if let Some((value, mask)) = target.option("--set-mark").and_then(masked) {
        return Some((mark & !mask) | value);
    }
    let number = |flag: &str| target.option(flag).and_then(number);
    if let Some(bits) = number("--or-mark") {
        return Some(mark | bits);
    }
    if let Some(bits) = number("--and-mark") {
        return Some(mark & bits);
    }
    number("--xor-mark").map(|bits| mark ^ bits)
}

/// `value/mask`; without a mask all bits count. `None` if it is no such pair.
pub fn masked(text: &str) -> Option<(u32, u32)> {
    match text.split_once('/') {
        Some((value, mask)) => Some((number(value)?, number(mask)?)),
        None => Some((number(text)?, u32::MAX)),
    }
}
