//! Prints a generated dump: `cargo run --release --example generate-dump -- SERVICES ENDPOINTS > FILE`

mod generate;

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse().expect("SERVICES ENDPOINTS, as numbers"));
    let services = numbers.next().unwrap_or(5000);
    let endpoints = numbers.next().unwrap_or(20);
    std::io::stdout().write_all(generate::nat(services, endpoints).as_bytes())
}
