//! Serves the cluster of a generated dump as an API server does, and prints each request with what it cost:
//! `cargo run --release --example serve-api -- PORT SERVICES ENDPOINTS`

mod cluster;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use cluster::Cluster;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|arg| arg.parse().expect("PORT SERVICES ENDPOINTS, as numbers"));
    let port: usize = numbers.next().unwrap_or(8001);
    let (services, endpoints) = (numbers.next().unwrap_or(5000), numbers.next().unwrap_or(20));
    let cluster = Arc::new(Cluster::new(services, endpoints));
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    for stream in listener.incoming() {
        let (stream, cluster) = (stream?, Arc::clone(&cluster));
        // A client that goes away is no error.
        thread::spawn(move || serve(&stream, &cluster).unwrap_or_default());
    }
    Ok(())
}

/// Answers on one connection until its end.
fn serve(stream: &TcpStream, cluster: &Cluster) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut from, mut to) = (BufReader::new(stream), stream);
    loop {
        let mut first = String::new();
        if from.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut takes_packed = false;
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            let line = line.to_lowercase();
            takes_packed |= line.starts_with("accept-encoding:") && line.contains("gzip");
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let answer = cluster.answer(target, takes_packed);
        let packed = if answer.is_packed { "content-encoding: gzip\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {} Status\r\ncontent-type: application/json\r\n{packed}content-length: {}\r\n\r\n",
            answer.status,
            answer.body.len()
        );
        writeln!(io::stdout().lock(), "{} {}", head.len() + answer.body.len(), first.trim_end())?;
        to.write_all(head.as_bytes())?;
        to.write_all(&answer.body)?;
    }
}
