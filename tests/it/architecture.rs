//! Imports go only towards the left of the flow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each folder of `src/` may import from the others.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("net", [].as_slice()),
        ("source", &["net"]),
        ("dump", &["net"]),
        ("dataplane", &["net"]),
        ("compare", &["net", "dataplane"]),
        ("proxy", &["net", "dump", "dataplane"]),
        ("cluster", &["net", "dataplane"]),
        ("redact", &["net", "dump", "dataplane", "proxy", "cluster"]),
        ("expect", &["net", "dataplane", "cluster"]),
        ("join", &["net", "dataplane", "cluster", "expect", "proxy"]),
        ("checks", &["net", "dataplane", "cluster", "expect", "proxy"]),
        ("trace", &["net", "dump", "dataplane", "proxy"]),
        ("report", &["net", "dataplane", "compare", "checks", "trace"]),
        ("render", &["net", "dataplane", "compare", "checks", "report", "trace"]),
        (
            "cli",
            &[
                "net",
                "source",
                "dump",
                "dataplane",
                "compare",
                "proxy",
                "cluster",
                "redact",
                "expect",
                "join",
                "checks",
                "trace",
                "report",
                "render",
            ],
        ),
    ])
}

fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("src is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

/// Sharing work out among cores, looking at eight bytes at once, sorting, taking JSON apart and putting it together, what commands
/// run on, and quoting for a shell have nothing to do with what the work or the word is.
const COMMON: [&str; 8] = ["cores", "eight", "order", "outline", "plain_json", "runtime", "shell", "shorten"];

#[test]
fn imports_go_towards_the_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    for path in sources() {
        let inside = path.strip_prefix(&root).expect("below src");
        // A crate of its own, whose folders stand in one line with the others.
        let inside = inside.strip_prefix("rules").unwrap_or(inside);
        let folder = inside.components().next().expect("a folder").as_os_str().to_string_lossy().into_owned();
        let Some(may) = allowed.get(folder.as_str()) else {
            let is_common = folder.strip_suffix(".rs").is_some_and(|name| COMMON.contains(&name));
            assert!(
                is_common || folder == "lib.rs" || folder == "main.rs",
                "{folder} has no place in the architecture"
            );
            continue;
        };
        for part in text(&path).split("crate::").skip(1) {
            let target: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let fine = target == folder || COMMON.contains(&target.as_str()) || may.contains(&target.as_str());
            assert!(fine, "{} imports crate::{target}, which {folder} must not", inside.display());
        }
    }
}

/// What belongs to the project at its top level; without a repository, as in a package, nothing is known of the rest.
#[test]
fn the_top_level_holds_what_the_plan_says() {
    let listed = Command::new("git").args(["ls-files", "--full-name"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else { return };
    let kept = String::from_utf8(listed.stdout).expect("UTF-8");
    let top: BTreeSet<&str> = kept.lines().filter_map(|path| path.split('/').next()).collect();
    let shown: Vec<&str> = top.into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(shown, ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "fixtures", "src", "tests"]);
}

#[test]
fn runtimes_stay_where_they_belong() {
    for path in sources() {
        let text = text(&path);
        let live = path.ends_with("source/local.rs");
        let api = path.parent().is_some_and(|folder| folder.ends_with("cluster/live"));
        let signals = path.ends_with("source/signals.rs") || path.ends_with("src/runtime.rs");
        assert!(live || api || signals || !text.contains("tokio::"), "{} names tokio", path.display());
        assert!(api || !text.contains("kube::"), "{} names kube", path.display());
        let cluster = path.components().any(|part| part.as_os_str() == "cluster");
        assert!(cluster || !text.contains("k8s_openapi"), "{} names k8s-openapi", path.display());
        let prints = path.ends_with("cli/mod.rs");
        assert!(prints || !text.contains("std::io::stdout()"), "{} prints", path.display());
        // Credential plugins; and a test asks a shell what it makes of a quoted word.
        let starts = live
            || path.ends_with("cluster/live/credentials.rs")
            || path.ends_with("src/shell.rs")
            || !text.contains("Command::new");
        assert!(starts, "{} starts programs", path.display());
        let writes = ["OpenOptions", "File::create", "fs::write", "fs::rename", "remove_file", "create_dir"];
        let may_write = path.ends_with("cli/out.rs");
        let fine = may_write || !writes.iter().any(|call| text.contains(call));
        assert!(fine, "{} writes files", path.display());
    }
}

#[test]
fn a_check_stands_in_the_file_of_its_name() {
    let mut checks = 0;
    for path in sources().iter().filter(|path| path.parent().is_some_and(|folder| folder.ends_with("src/checks"))) {
        let text = text(path);
        let Some((_, rest)) = text.split_once("\n    slug: \"") else { continue };
        let slug = rest.split('"').next().unwrap_or_default().replace('-', "_");
        assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(slug.as_str()));
        checks += 1;
    }
    assert!(checks >= 20, "{checks}");
}

#[test]
fn every_file_says_what_it_owns() {
    for path in sources() {
        assert!(text(&path).starts_with("//! "), "{} does not say what it owns", path.display());
    }
}
