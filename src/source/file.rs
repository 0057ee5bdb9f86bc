//! What files and standard input have in common: bytes as text, and the words of errors.

#[cfg(unix)]
use std::fs::File;

/// True if standard input is a pipe, a socket or a file, so that a dump may come from it.
pub fn stdin_offers_text() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        use std::os::unix::fs::FileTypeExt as _;
        let Ok(own) = std::io::stdin().as_fd().try_clone_to_owned() else { return false };
        let Ok(kind) = File::from(own).metadata().map(|m| m.file_type()) else { return false };
        kind.is_fifo() || kind.is_socket() || kind.is_file()
    }
    #[cfg(not(unix))]
    {
        use std::io::IsTerminal as _;
        !std::io::stdin().is_terminal()
    }
}

/// Bytes as text: UTF-8, or UTF-16 with its mark, as Windows shells write it. Other bytes are replaced, with a note.
pub(super) fn decoded(label: &str, bytes: Vec<u8>) -> (String, Option<String>) {
    if let Some(text) = utf16(&bytes) {
        return (text, None);
    }
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            let note = format!("{label} holds bytes that are no UTF-8 text, first in line {line}: shown as \u{fffd}");
            (text, Some(note))
        }
    }
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, unit): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        _ => return None,
    };
    let units: Vec<u16> = pairs.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    Some(String::from_utf16_lossy(&units))
}

/// The operating system's words without its error number.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_shells_write_utf16() {
        let text = "-A X -j Y\r\n";
        let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert_eq!(decoded("f", little).0, text);
    }

    #[test]
    fn other_bytes_are_replaced_and_noted() {
        let (text, note) = decoded("f", b"-A X\n-A \xff\n".to_vec());
        assert_eq!(text, "-A X\n-A \u{fffd}\n");
        assert_eq!(note.as_deref(), Some("f holds bytes that are no UTF-8 text, first in line 2: shown as \u{fffd}"));
    }
}
