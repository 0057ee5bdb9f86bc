//! What the program is made of: the rules of licences, bans and sources in `.deny.toml`, held without cargo-deny. Every word of
//! that file has to be known here, so that it cannot ask for more than this looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use toml_edit::{DocumentMut, Item, Table, Value};

/// A package: name, version and licence expression.
type Package = (String, String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn parsed(file: &str) -> DocumentMut {
    std::fs::read_to_string(root().join(file)).expect("is there").parse().expect("TOML")
}

/// A section of the rules, which has these words and no others.
fn section<'d>(rules: &'d DocumentMut, name: &str, words: &[&str]) -> &'d Table {
    let table = rules[name].as_table().expect("a section");
    let used: BTreeSet<&str> = table.iter().map(|(word, _)| word).collect();
    assert_eq!(used, words.iter().copied().collect(), "[{name}] of .deny.toml says what no test here looks at");
    table
}

fn words(list: &Item) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// `{ crate = …, KEY = … }` of a list.
fn entries<'t>(list: &'t Item, key: &str) -> Vec<(String, &'t Value)> {
    let tables = list.as_array().expect("a list").iter().map(|entry| entry.as_inline_table().expect("an entry"));
    let read = tables.map(|entry| {
        assert_eq!(entry.len(), 2, "{entry}");
        (entry["crate"].as_str().expect("a name").to_owned(), &entry[key])
    });
    read.collect()
}

/// What cargo takes into a build with all features, for every target if their packages were downloaded, else for this one.
fn packages() -> BTreeSet<Package> {
    let tree = |more: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--all-features", "-e", "normal,build,dev", "--prefix", "none"])
            .args(["-f", "{p}\t{l}\t"])
            .args(more)
            .current_dir(root())
            .output()
            .expect("cargo runs");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
    };
    let text = tree(&["--target", "all"]).or_else(|| tree(&[])).expect("what the tests are made of was downloaded");
    let packages: BTreeSet<Package> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut parts = line.split('\t');
            let (package, licence) = (parts.next().expect("a package"), parts.next().expect("a licence"));
            let mut parts = package.split(' ');
            let (name, version) = (parts.next().expect("a name"), parts.next().expect("a version"));
            (name.to_owned(), version.trim_start_matches('v').to_owned(), licence.to_owned())
        })
        .collect();
    assert!(packages.len() > 150, "this is a part only: {packages:?}");
    packages
}

/// The packages of Cargo.lock, whatever becomes of them: name and source.
fn locked() -> Vec<(String, Option<String>)> {
    let lock = parsed("Cargo.lock");
    let packages = lock["package"].as_array_of_tables().expect("packages").iter();
    let text = |item: &Item| item.as_str().expect("text").to_owned();
    packages.map(|package| (text(&package["name"]), package.get("source").map(text))).collect()
}

/// True if what a licence expression of SPDX asks for is allowed. `/` is how `OR` was written before.
fn allows(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let fits = any_of(&mut tokens, allowed);
    assert!(tokens.is_empty(), "{expression}");
    fits
}

fn any_of(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut fits = all_of(tokens, allowed);
    while tokens.pop_if(|token| *token == "OR").is_some() {
        fits |= all_of(tokens, allowed);
    }
    fits
}

fn all_of(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut fits = one(tokens, allowed);
    while tokens.pop_if(|token| *token == "AND").is_some() {
        fits &= one(tokens, allowed);
    }
    fits
}

fn one(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let first = tokens.pop().expect("a licence");
    if first == "(" {
        let fits = any_of(tokens, allowed);
        assert_eq!(tokens.pop(), Some(")"));
        return fits;
    }
    let mut licence = first.to_owned();
    while tokens.pop_if(|token| *token == "WITH").is_some() {
        licence = format!("{licence} WITH {}", tokens.pop().expect("an exception"));
    }
    allowed.contains(&licence)
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "ISC", "GPL-2.0 WITH Classpath-exception-2.0"].map(str::to_owned);
    for (expression, fits) in [
        ("MIT", true),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("GPL-3.0 OR MIT AND ISC", true),
        ("(GPL-3.0 OR MIT) AND Zlib", false),
        ("GPL-2.0", false),
        ("GPL-2.0 WITH Classpath-exception-2.0", true),
        ("MIT WITH Classpath-exception-2.0", false),
    ] {
        assert_eq!(allows(expression, &allowed), fits, "{expression}");
    }
}

#[test]
fn every_licence_is_an_allowed_one() {
    let rules = parsed(".deny.toml");
    let licences = section(&rules, "licenses", &["allow", "confidence-threshold", "exceptions", "include-dev"]);
    assert_eq!(licences["include-dev"].as_bool(), Some(true));
    let everywhere = words(&licences["allow"]);
    let exceptions: BTreeMap<String, Vec<String>> =
        entries(&licences["exceptions"], "allow").into_iter().map(|(name, list)| (name, words(&list.into()))).collect();
    for (name, version, licence) in packages() {
        let allowed = [everywhere.as_slice(), exceptions.get(&name).map_or(&[], Vec::as_slice)].concat();
        assert!(allows(&licence, &allowed), "{name} {version} has the licence '{licence}'");
    }
}

#[test]
fn nothing_banned_and_no_second_version_without_a_reason() {
    let rules = parsed(".deny.toml");
    let words = ["deny", "multiple-versions", "multiple-versions-include-dev", "skip", "wildcards"];
    let bans = section(&rules, "bans", &words);
    assert_eq!(bans["multiple-versions"].as_str(), Some("deny"));
    assert_eq!(bans["multiple-versions-include-dev"].as_bool(), Some(true));
    let locked = locked();
    for (name, _) in entries(&bans["deny"], "reason") {
        assert!(!locked.iter().any(|(its, _)| *its == name), "{name} is banned");
    }
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, _) in packages() {
        versions.entry(name).or_default().push(version);
    }
    let skipped: Vec<String> = entries(&bans["skip"], "reason").into_iter().map(|(which, _)| which).collect();
    for (name, versions) in versions {
        let is_skipped = |version: &&String| {
            let mut of_name = skipped.iter().filter_map(|which| which.strip_prefix(&format!("{name}@")));
            of_name.any(|skipped| **version == skipped || version.starts_with(&format!("{skipped}.")))
        };
        let counted: Vec<&String> = versions.iter().filter(|version| !is_skipped(version)).collect();
        assert!(counted.len() < 2, "{name} is there as {counted:?}");
    }
    // A dependency of ours that any version satisfies.
    let (whole, of_rules) = (parsed("Cargo.toml"), parsed("src/rules/Cargo.toml"));
    let of_both = [&whole, &of_rules].map(|manifest| [&manifest["dependencies"], &manifest["dev-dependencies"]]);
    for section in of_both.into_iter().flatten().chain([&whole["workspace"]["dependencies"]]) {
        for (name, asked) in section.as_table_like().expect("dependencies").iter() {
            if asked.get("workspace").is_some() {
                continue;
            }
            let version = asked.as_str().or_else(|| asked.get("version")?.as_str());
            assert!(version.is_some_and(|version| !version.contains('*')), "{name} = {asked}");
        }
    }
}

#[test]
fn everything_comes_from_the_registry() {
    let rules = parsed(".deny.toml");
    let sources = section(&rules, "sources", &["allow-git", "unknown-git", "unknown-registry"]);
    for unknown in ["unknown-git", "unknown-registry"] {
        assert_eq!(sources[unknown].as_str(), Some("deny"));
    }
    assert!(words(&sources["allow-git"]).is_empty());
    // cargo-deny allows cargo's own registry where none is named.
    let found: BTreeSet<String> = locked().into_iter().filter_map(|(_, source)| source).collect();
    assert!(found.len() == 1 && found.iter().all(|source| source.starts_with("registry+")), "{found:?}");
    let own: Vec<String> = locked().into_iter().filter(|(_, source)| source.is_none()).map(|(name, _)| name).collect();
    assert_eq!(own, ["kube-ipt", "kube-ipt-rules"], "only what is here has no source");
}

#[test]
fn all_targets_and_features_are_meant_and_no_advisory_is_passed_over() {
    let rules = parsed(".deny.toml");
    let sections: BTreeSet<&str> = rules.iter().map(|(name, _)| name).collect();
    assert_eq!(sections, BTreeSet::from(["advisories", "bans", "graph", "licenses", "sources"]));
    assert_eq!(section(&rules, "graph", &["all-features"])["all-features"].as_bool(), Some(true));
    let advisories = section(&rules, "advisories", &["ignore", "unmaintained", "yanked"]);
    assert!(words(&advisories["ignore"]).is_empty());
}
