//! The connection to an API server, and one request over it. The only folder that names kube: what kube gives, and what its errors
//! mean, is told here in our own words.

mod access;
mod answer;
mod command;
mod credentials;
mod kubeconfig;
mod pod;
mod proxy;
mod session;
mod trouble;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Client;

pub use access::{Access, contexts, lost_kubeconfigs};

use self::answer::Answer;
use self::session::Session;
use super::problem::{At, Detour, Problem, Trouble};
use super::words::{without_users, words};
use crate::runtime::runtime;

/// An API server that lets no connection through is given up after this.
const CONNECT: Duration = Duration::from_secs(5);

/// Pauses before a request is sent again that a server had no time for (429, 503, 504). kube would go on until the request's
/// time is over, and what the server said would never be heard.
const AGAIN: [u64; 5] = [100, 200, 400, 800, 1600];

/// The longest line of a stream: many times the largest object an API server keeps (1.5 MiB, etcd's limit).
const LONGEST_LINE: usize = 64 << 20;

/// The longest answer, unpacked: as long as a file of objects.
pub(super) const LONGEST_ANSWER: usize = 1 << 30;

/// A connection to an API server, which many threads may share.
#[derive(Clone)]
pub struct Server {
    runtime: Arc<tokio::runtime::Runtime>,
    session: Arc<Mutex<Session>>,
    plugin_limit: Option<Duration>,
    request_timeout: Duration,
    /// Its address.
    pub(super) url: String,
    proxy: Option<Detour>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Server {
    /// Prepares a connection; nothing is sent. `None` if no API server is configured.
    pub fn connect(access: &Access) -> Result<Option<Self>, Problem> {
        Self::prepared(access).map_err(|(trouble, url)| {
            let at = At { url: url.as_deref().unwrap_or("of the kubeconfig"), proxy: None };
            let problem = Problem::with_server(&trouble, at);
            let hint = problem.hint.or_else(|| access.look().filter(|_| problem.of_configuration));
            Problem { hint, ..problem }
        })
    }

    /// Where it is asked.
    pub(super) fn at(&self) -> At<'_> {
        At { url: &self.url, proxy: self.proxy.as_ref() }
    }

    /// An error comes with the address of the server, where the configuration tells one.
    fn prepared(access: &Access) -> Result<Option<Self>, (Trouble, Option<String>)> {
        let failed = |error: std::io::Error| {
            (Trouble::Configuration(format!("cannot prepare a connection: {}", words(&error.to_string()))), None)
        };
        let runtime = runtime().map_err(failed)?;
        let config = runtime.block_on(access::configuration(access)).map_err(|trouble| (trouble, None))?;
        let Some((mut config, proxy)) = config else { return Ok(None) };
        config.connect_timeout = Some(CONNECT);
        config.default_retry = false;
        // Nor is what is asked of it told, which may be a token.
        let url = config.cluster_url.to_string();
        let url = without_users(url.split('?').next().unwrap_or_default().trim_end_matches('/'));
        let plugin_limit = access.plugin_limit();
        let session = runtime.block_on(Session::begin(config, plugin_limit));
        let session = Arc::new(Mutex::new(session.map_err(|trouble| (trouble, Some(url.clone())))?));
        let request_timeout = access.request_timeout;
        Ok(Some(Self { runtime: Arc::new(runtime), session, plugin_limit, request_timeout, url, proxy }))
    }

    /// What to send a request with. Fetches credentials again that are soon no longer good; others wait meanwhile.
    fn client(&self) -> Result<Client, Trouble> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = session.is_due() {
            *session = self.runtime.block_on(Session::begin(config, self.plugin_limit))?;
        }
        Ok(session.client.clone())
    }

    /// The answer to a GET, which a busy server is asked for again. May be called from several threads at once.
    pub(super) fn get(&self, path: &str) -> Result<String, Trouble> {
        let mut whole = Vec::new();
        self.read(path, |piece| {
            whole.extend_from_slice(piece);
            Ok(())
        })?;
        String::from_utf8(whole).map_err(|_| Trouble::Nonsense(format!("{path} is no UTF-8")))
    }

    /// Gives the answer to a GET to `piece` as it comes; a busy server, which gives none, is asked again. May be called from
    /// several threads at once.
    pub(super) fn read(&self, path: &str, mut piece: impl FnMut(&[u8]) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let begun = Instant::now();
        let is_early = |pause: &Duration| {
            self.request_timeout.is_zero() || begun.elapsed().saturating_add(*pause) < self.request_timeout
        };
        for pause in AGAIN.map(Duration::from_millis) {
            match self.read_once(path, &mut piece) {
                Err(Trouble::Status { code: 429 | 503 | 504, .. }) if is_early(&pause) => {
                    self.runtime.block_on(async { tokio::time::sleep(pause).await });
                }
                answer => return answer,
            }
        }
        self.read_once(path, &mut piece)
    }

    fn read_once(&self, path: &str, piece: &mut impl FnMut(&[u8]) -> Result<(), Trouble>) -> Result<(), Trouble> {
        let client = self.client()?;
        let all = async {
            let mut answer = Answer::to(&client, path).await?;
            let mut bytes = 0;
            loop {
                let (length, taken) = answer.next(&mut *piece).await?;
                taken?;
                bytes += length;
                match length {
                    0 => return Ok(()),
                    _ if bytes > LONGEST_ANSWER => {
                        let what = format!("an answer of more than {} GiB", LONGEST_ANSWER >> 30);
                        return Err(Trouble::Nonsense(what));
                    }
                    _ => {}
                }
            }
        };
        self.runtime.block_on(self.in_time(all))?
    }

    /// Gives every whole line of the answer to a GET to `line`, until the server ends it, nothing comes for `silence`, or
    /// `line` wants no more. `opened` hears that the server began to answer. May be called from several threads at once.
    pub(super) fn lines(
        &self,
        path: &str,
        silence: Duration,
        opened: impl FnOnce(),
        mut line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), Trouble> {
        let client = self.client()?;
        let patience = if self.request_timeout.is_zero() { silence } else { self.request_timeout };
        self.runtime.block_on(async {
            let answer = tokio::time::timeout(patience, Answer::to(&client, path)).await;
            let mut answer = answer.map_err(|_| Trouble::Silent(patience))??;
            opened();
            let mut rest: Vec<u8> = Vec::new();
            loop {
                let known = rest.len();
                let read = answer.next(|piece| rest.extend_from_slice(piece));
                let read = match tokio::time::timeout(silence, read).await {
                    // No server of Kubernetes says that.
                    Ok(Ok((0, ()))) if rest.trim_ascii_start().starts_with(b"<") => {
                        return Err(Trouble::Nonsense("a page of HTML, as a proxy sends it".to_owned()));
                    }
                    // What is left is the beginning of a line that will never be whole.
                    Err(_) | Ok(Ok((0, ()))) => return Ok(()),
                    Ok(read) => read?.0,
                };
                let Some(end) = memchr::memrchr(b'\n', &rest[known..known + read]) else {
                    if rest.len() > LONGEST_LINE {
                        return Err(Trouble::Nonsense(format!("a line of more than {} MiB", LONGEST_LINE >> 20)));
                    }
                    continue;
                };
                let end = known + end + 1;
                for whole in String::from_utf8_lossy(&rest[..end]).lines().filter(|text| !text.trim().is_empty()) {
                    if line(whole).is_break() {
                        return Ok(());
                    }
                }
                rest.drain(..end);
            }
        })
    }

    /// Waits as long as one request may take.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Trouble> {
        if self.request_timeout.is_zero() {
            return Ok(answer.await);
        }
        tokio::time::timeout(self.request_timeout, answer).await.map_err(|_| Trouble::Silent(self.request_timeout))
    }
}
