//! Words of commands that are printed to be copied. Names come from files, objects and other users: what a shell would act on
//! is quoted.

use std::borrow::Cow;

/// `text` as one word of a POSIX shell: as it is where no character means anything to a shell, else in single quotes.
pub(crate) fn word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// The same for a word that must not be taken for a flag: `ssh -oProxyCommand=…` runs a command of its own.
pub(crate) fn operand(text: &str) -> Cow<'_, str> {
    if text.starts_with('-') { Cow::Owned(format!("-- {}", word(text))) } else { word(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_acts_on_is_quoted() {
        for plain in ["node1", "a/b_c.d-e:80,f@g%h+i=j", "-f"] {
            assert_eq!(word(plain), plain);
        }
        assert_eq!(word(""), "''");
        assert_eq!(word("a b"), "'a b'");
        assert_eq!(word("$(id)`id`;id"), "'$(id)`id`;id'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("~root"), "'~root'");
        assert_eq!(word("é"), "'é'");
    }

    #[test]
    fn an_operand_is_no_flag() {
        assert_eq!(operand("node1"), "node1");
        assert_eq!(operand("-oProxyCommand=id"), "-- -oProxyCommand=id");
        assert_eq!(operand("-o x"), "-- '-o x'");
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for text in ["a'b", "$(echo no)", "a\\b\"c", "*", "a\nb", "''", "!x"] {
            let said = std::process::Command::new("sh").args(["-c", &format!("printf %s {}", word(text))]).output();
            assert_eq!(String::from_utf8_lossy(&said.expect("sh").stdout), text);
        }
    }
}
