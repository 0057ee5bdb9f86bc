//! The README's transcripts are what the program prints, and what it claims of itself is so.

use std::fs;
use std::path::Path;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README is there")
}

#[test]
fn transcripts_are_real() {
    trycmd::TestCases::new().case("README.md");
}

#[test]
fn the_two_commands_come_first() {
    let readme = readme();
    let commands: Vec<&str> =
        readme.split("```sh\n").skip(1).take(2).filter_map(|rest| rest.split("```").next().map(str::trim)).collect();
    assert_eq!(commands, ["cargo run --release -- show nginx-service --demo=stale", "cargo test"]);
}

#[test]
fn links_lead_somewhere() {
    for target in readme().split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
        assert!(path.exists(), "{target} is not there");
    }
}
