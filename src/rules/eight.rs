//! Eight bytes of a text, looked at together as one number.

/// Eight bytes, each of which is 1.
pub(crate) const EACH: u64 = u64::MAX / 0xff;

/// The highest bit of each byte.
pub(crate) const HIGHEST: u64 = EACH << 7;

/// The highest bit of each byte of ASCII that is less than `least`, which is at most 128. Where one is, bytes above the lowest such
/// may have it by carrying.
pub(crate) fn below(word: u64, least: u8) -> u64 {
    word.wrapping_sub(EACH * u64::from(least)) & !word & HIGHEST
}
