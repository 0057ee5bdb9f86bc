//! Values as JSON, as serde_json writes them: those that a large answer has a hundred thousand of, and which need no escapes.

use std::net::Ipv4Addr;

use memchr::memchr3;

use crate::eight::{EACH, HIGHEST, below};
use crate::net::V4Text;

/// A value.
#[derive(Debug, Clone, Copy)]
pub enum Value<'v> {
    /// None.
    Null,
    /// True or false.
    Is(bool),
    /// A string, in UTF-8.
    Text(&'v [u8]),
    /// A string: an IPv4 address with its port.
    Socket(Ipv4Addr, u16),
    /// A number.
    Part(f64),
    /// A whole number.
    Count(u64),
}

/// Adds `before` to `out` as it is, and then the value. False, and the value is not added, for a string that needs escapes.
pub fn put(out: &mut Vec<u8>, before: &[u8], value: Value<'_>) -> bool {
    out.extend_from_slice(before);
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Is(true) => out.extend_from_slice(b"true"),
        Value::Is(false) => out.extend_from_slice(b"false"),
        Value::Text(text) if is_plain(text) && memchr3(b'"', b'\\', b'\n', text).is_none() => put_string(out, text),
        Value::Text(_) => return false,
        Value::Socket(ip, port) => put_string(out, V4Text::of(ip, Some(port)).as_bytes()),
        Value::Part(part) => return serde_json::to_writer(out, &part).is_ok(),
        Value::Count(count) => return serde_json::to_writer(out, &count).is_ok(),
    }
    true
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

/// True if all bytes are of ASCII, and none but line ends is a control character.
pub fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let words_are = words.iter().all(|word| {
        let word = u64::from_ne_bytes(*word);
        // The highest bit of a byte: it is beyond ASCII; it is 127; it is below a blank.
        let odd = (word | word.wrapping_add(EACH)) & HIGHEST | below(word, b' ');
        odd == 0 || word.to_ne_bytes().into_iter().all(is_plain_byte)
    });
    words_are && rest.iter().copied().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_serde_json_does() {
        let written = |value| {
            let mut out = b"[".to_vec();
            let is_whole = put(&mut out, b"1,", value);
            (String::from_utf8(out).expect("text"), is_whole)
        };
        let whole = |text: &str| (format!("[1,{text}"), true);
        assert_eq!(written(Value::Null), whole("null"));
        assert_eq!((written(Value::Is(true)), written(Value::Is(false))), (whole("true"), whole("false")));
        assert_eq!(written(Value::Socket([10, 0, 0, 1].into(), 80)), whole("\"10.0.0.1:80\""));
        for part in [0.0, 1.0, 1.0 / 3.0, 1e-9, 5e300] {
            assert_eq!(written(Value::Part(part)), whole(&serde_json::to_string(&part).expect("JSON")));
        }
        assert_eq!(written(Value::Count(u64::MAX)), whole("18446744073709551615"));
        for text in ["", "a/b:c ~", "a \"b\"", "\\", "\n", "\u{7f}", "ä", "\u{202e}"] {
            let plain =
                serde_json::to_string(text).expect("JSON") == format!("\"{text}\"") && is_plain(text.as_bytes());
            let expected = if plain { whole(&format!("\"{text}\"")) } else { ("[1,".to_owned(), false) };
            assert_eq!(written(Value::Text(text.as_bytes())), expected, "{text:?}");
        }
    }

    #[test]
    fn plain_text_is_told_eight_bytes_at_a_time() {
        for byte in 0..=u8::MAX {
            for at in 0..19 {
                let mut text = *b"nineteen bytes long";
                text[at] = byte;
                assert_eq!(is_plain(&text), (b' '..=b'~').contains(&byte) || byte == b'\n', "{byte} at {at}");
            }
        }
        assert!(is_plain(b"") && is_plain(b"\n\n\n\n\n\n\n\n\n") && !is_plain(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"));
    }
}
