//! A stand-in for an API server: it answers as it is told, misbehaves on request, and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::run::{Run, kube_ipt};

/// What it was asked: `GET /path?query` and the headers it came with.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
}

/// How it answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// With a status and a body.
    Body(u16, Vec<u8>),
    /// Never.
    Silence,
    /// With the first half of the body.
    Half(Vec<u8>),
    /// With a status, and what this writes, in chunks, until it has no more; an error breaks the connection.
    Stream(u16, Arc<Writing>),
    /// As a websocket, on which this speaks.
    Upgrade(Arc<Speak>),
}

/// What is said on a websocket: it gets the subprotocols that were offered, and the connection after the request.
pub(crate) type Speak = dyn Fn(&Asked, &mut dyn Duplex) + Send + Sync;

/// A connection that is read and written.
pub(crate) trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

/// Both directions of a connection as one.
struct Both<R, W>(R, W);

impl<R: Read, W> Read for Both<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R, W: Write> Write for Both<R, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.1.flush()
    }
}

/// Writes pieces of an answer.
pub(crate) type Writing = dyn Fn(&mut dyn FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> + Send + Sync;

/// How it answers each target (`/path?query`).
type Answer = dyn Fn(&str) -> Reply + Send + Sync;

/// An API server on a port of this machine.
pub(crate) struct StandIn {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
    /// The connections it has; `None` while it is down.
    open: Arc<Mutex<Option<Vec<TcpStream>>>>,
    folder: tempfile::TempDir,
}

/// A file of `fixtures/api`.
pub(crate) fn recorded(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/api").join(name);
    std::fs::read(path).expect("the recording is there")
}

pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply::Body(200, body.into())
}

pub(crate) fn status(code: u16, file: &str) -> Reply {
    Reply::Body(code, recorded(file))
}

/// The answers of the recorded cluster: that of `seed/stale` and `seed/recovered`.
pub(crate) fn seed(target: &str) -> Reply {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let selects = query.contains("Selector=");
    match path {
        "/api/v1/services" => ok(recorded("services.json")),
        "/apis/discovery.k8s.io/v1/endpointslices" if !selects => ok(recorded("endpointslices.json")),
        "/apis/discovery.k8s.io/v1/endpointslices"
        | "/apis/discovery.k8s.io/v1/namespaces/nginx-demo/endpointslices" => ok(recorded("endpointslices-nginx.json")),
        "/api/v1/namespaces/nginx-demo/services/nginx-service" => ok(item("services.json", "nginx-service")),
        "/api/v1/nodes/node1" => ok(item("nodes.json", "node1")),
        "/api/v1/nodes" => ok(recorded("nodes.json")),
        "/api/v1/namespaces/default/services/kubernetes" => ok(item("services.json", "kubernetes")),
        "/api/v1/pods" if query == "fieldSelector=status.podIP%3D10.244.3.2&resourceVersion=0" => {
            ok(recorded("pods-by-ip.json"))
        }
        "/api/v1/pods" if selects => ok(r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#),
        _ => status(404, "not-found-404.json"),
    }
}

/// One object of a recorded list, as a GET of it answers.
fn item(file: &str, name: &str) -> Vec<u8> {
    let list: serde_json::Value = serde_json::from_slice(&recorded(file)).expect("JSON");
    let items = list["items"].as_array().expect("a list");
    let mut item = items.iter().find(|item| item["metadata"]["name"] == name).expect("the object").clone();
    item["kind"] = list["kind"].as_str().expect("a kind").trim_end_matches("List").into();
    item["apiVersion"] = list["apiVersion"].clone();
    item.to_string().into_bytes()
}

impl StandIn {
    /// A server that gives `answer` for each target (`/path?query`).
    pub(crate) fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let folder = tempfile::tempdir().expect("a folder");
        let new = Self { port, asked: Arc::default(), answer: Arc::new(answer), open: Arc::default(), folder };
        new.listen(listener);
        new
    }

    fn listen(&self, listener: TcpListener) {
        let (log, answer, open) = (Arc::clone(&self.asked), Arc::clone(&self.answer), Arc::clone(&self.open));
        *open.lock().expect("no thread failed") = Some(Vec::new());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                match &mut *open.lock().expect("no thread failed") {
                    Some(streams) => streams.push(stream.try_clone().expect("a stream")),
                    None => return,
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    serve(&stream, &stream, &log, &*answer);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
    }

    /// Breaks every connection and refuses others.
    pub(crate) fn stop(&self) {
        let streams = self.open.lock().expect("no thread failed").take().unwrap_or_default();
        for stream in streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The listener goes when it hears that.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }

    /// Listens on the same port again.
    pub(crate) fn start_again(&self) {
        let listener = (0..100).find_map(|_| {
            let listener = TcpListener::bind(("127.0.0.1", self.port));
            if listener.is_err() {
                thread::sleep(Duration::from_millis(20));
            }
            listener.ok()
        });
        self.listen(listener.expect("the port is free"));
    }

    /// What it was asked, in alphabetical order: requests come at the same time.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.requests().into_iter().map(|asked| asked.line).collect();
        lines.sort();
        lines
    }

    pub(crate) fn requests(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread failed").clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A kubeconfig with a context `here` for this server, whose user is `user`, in YAML's JSON form.
    pub(crate) fn kubeconfig(&self, user: &str) -> String {
        self.kubeconfig_of(&format!(r#"{{"server": "{}"}}"#, self.url()), user)
    }

    pub(crate) fn kubeconfig_of(&self, cluster: &str, user: &str) -> String {
        let text = format!(
            r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "here",
                "contexts": [{{"name": "here", "context": {{"cluster": "c", "user": "u"}}}}],
                "clusters": [{{"name": "c", "cluster": {cluster}}}], "users": [{{"name": "u", "user": {user}}}]}}"#
        );
        let path = self.folder.path().join("config");
        std::fs::write(&path, text).expect("writable");
        path.display().to_string()
    }

    /// The same of a server of another address; the folder goes with the value.
    pub(crate) fn kubeconfig_kept(self, cluster: &str) -> (Self, String) {
        let path = self.kubeconfig_of(cluster, "{}");
        (self, path)
    }

    /// `kube-ipt ARGS` with this server as its cluster.
    pub(crate) fn run(&self, args: &str) -> Run {
        kube_ipt(args).env("KUBECONFIG", &self.kubeconfig(r#"{"token": "t0k3n"}"#))
    }
}

/// Serves one connection until its end.
pub(crate) fn serve(
    from: impl Read,
    mut to: impl Write,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&str) -> Reply + Send + Sync),
) {
    let mut from = BufReader::new(from);
    loop {
        let mut first = String::new();
        if from.read_line(&mut first).unwrap_or_default() == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            let read = from.read_line(&mut line).unwrap_or_default();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => _ = headers.insert(name.to_lowercase(), value.to_owned()),
                None if read == 0 || line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let target = line.split_once(' ').map_or("", |(_, target)| target).to_owned();
        let asked = Asked { line, headers };
        log.lock().expect("no thread failed").push(asked.clone());
        let head = |code: u16, length: usize| {
            format!("HTTP/1.1 {code} Status\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
        };
        let written = match answer(&target) {
            Reply::Body(code, body) => to
                .write_all(head(code, body.len()).as_bytes())
                .and_then(|()| to.write_all(&body))
                .and_then(|()| to.flush()),
            Reply::Silence => {
                thread::sleep(Duration::from_mins(1));
                return;
            }
            Reply::Upgrade(speak) => {
                speak(&asked, &mut Both(from, to));
                return;
            }
            Reply::Stream(code, writing) => {
                let head = format!(
                    "HTTP/1.1 {code} Status\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
                );
                let begun = to.write_all(head.as_bytes()).and_then(|()| to.flush());
                let mut chunk = |bytes: &[u8]| {
                    let whole = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                    to.write_all(&whole).and_then(|()| to.flush())
                };
                match begun.and_then(|()| writing(&mut chunk)) {
                    Ok(()) => to.write_all(b"0\r\n\r\n").and_then(|()| to.flush()),
                    Err(error) => Err(error),
                }
            }
            Reply::Half(body) => {
                let _ = to.write_all(head(200, body.len()).as_bytes());
                let _ = to.write_all(&body[..body.len() / 2]);
                let _ = to.flush();
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

/// A port on which TLS is agreed on, or not, and nothing is said then.
pub(crate) fn greeted(config: Arc<rustls::ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            // What is left to say, an alert above all, and the client's last words, or it would see a reset.
            let _ = connection.complete_io(&mut stream);
        }
    });
    port
}
