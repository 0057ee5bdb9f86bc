//! Which checks are wanted, by code, slug or the beginning of a code.

use super::{CHECKS, Check};
use crate::dataplane::nearest;

/// The checks that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    select: Vec<String>,
    ignore: Vec<String>,
}

impl Pick {
    /// Those that `select` names (all where it is empty) and `ignore` does not. A name is a code (`KI101`), a slug
    /// (`stale-endpoint`) or the beginning of a code (`KI1`).
    ///
    /// # Errors
    ///
    /// A name that fits no check, with the one that is meant, where one is near; names that leave no check, so that nothing would be
    /// looked for.
    pub fn new(select: Vec<String>, ignore: Vec<String>) -> Result<Self, String> {
        if let Some(name) = select.iter().chain(&ignore).find(|name| !CHECKS.iter().any(|check| check.is_named(name))) {
            return Err(unknown(name));
        }
        let pick = Self { select, ignore };
        if CHECKS.iter().any(|check| pick.wants(check)) {
            Ok(pick)
        } else {
            Err("nothing is left to look for: --ignore names all that --select does".to_owned())
        }
    }

    /// True if `check` is wanted.
    pub fn wants(&self, check: &Check) -> bool {
        let named = |names: &[String]| names.iter().any(|name| check.is_named(name));
        (self.select.is_empty() || named(&self.select)) && !named(&self.ignore)
    }
}

/// The check of this code or slug.
///
/// # Errors
///
/// There is none; the message says what is near.
pub fn find(name: &str) -> Result<&'static Check, String> {
    let is_it = |check: &&&Check| check.id.eq_ignore_ascii_case(name) || check.slug.eq_ignore_ascii_case(name);
    CHECKS.iter().find(is_it).copied().ok_or_else(|| unknown(name))
}

impl Check {
    fn is_named(&self, name: &str) -> bool {
        let begins = name.len() >= 3 && self.id.get(..name.len()).is_some_and(|id| id.eq_ignore_ascii_case(name));
        begins || self.slug.eq_ignore_ascii_case(name)
    }
}

fn unknown(name: &str) -> String {
    let names = CHECKS.iter().flat_map(|check| [check.id, check.slug]);
    match nearest(name, names).as_slice() {
        [] => format!("no finding is called '{name}'; kube-ipt explain lists them all"),
        near => format!("no finding is called '{name}'; did you mean {}?", near.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(select: &[&str], ignore: &[&str]) -> Result<usize, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let pick = Pick::new(owned(select), owned(ignore))?;
        Ok(CHECKS.iter().filter(|check| pick.wants(check)).count())
    }

    #[test]
    fn codes_slugs_and_beginnings_name_checks() {
        assert_eq!(wanted(&[], &[]), Ok(CHECKS.len()));
        assert_eq!(wanted(&["KI101"], &[]), Ok(1));
        assert_eq!(wanted(&["ki1"], &[]), Ok(8));
        assert_eq!(wanted(&["KI1", "leaky-chain"], &["stale-endpoint"]), Ok(8));
        assert_eq!(wanted(&[], &["KI9"]), Ok(CHECKS.len() - 2));
    }

    #[test]
    fn a_choice_of_nothing_is_refused() {
        let error = "nothing is left to look for: --ignore names all that --select does";
        assert_eq!(wanted(&["KI1"], &["KI1"]), Err(error.to_owned()));
        assert_eq!(wanted(&["stale-endpoint"], &["KI1"]), Err(error.to_owned()));
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_near_one() {
        let error = wanted(&["stale-endpont"], &[]).expect_err("a typing error");
        assert_eq!(error, "no finding is called 'stale-endpont'; did you mean stale-endpoint?");
        assert!(wanted(&["KI"], &[]).is_err() && wanted(&[], &["K"]).is_err());
        assert!(find("KI1").is_err() && find("ki101").is_ok());
    }
}
