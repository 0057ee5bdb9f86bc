//! The connection to an API server: configuration, one request. The only file beside `credentials` that names kube, which is
//! why it is long: what kube gives and what its errors mean is told here in our own words.

use std::cell::Cell;
use std::error::Error as _;
use std::future::poll_fn;
use std::io::IsTerminal as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use futures_io::AsyncBufRead;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess};
use kube::client::{AuthError, UpgradeConnectionError};
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config, Error};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::problem::{Problem, Trouble};
use super::words::{without_users, words};
use super::{credentials, kubeconfig};
use crate::runtime::runtime;

/// An API server that lets no connection through is given up after this.
const CONNECT: Duration = Duration::from_secs(5);

/// Pauses before a request is sent again that a server had no time for (429, 503, 504). kube would go on until the request's
/// time is over, and what the server said would never be heard.
const AGAIN: [u64; 5] = [100, 200, 400, 800, 1600];

/// The longest line of a stream: many times the largest object an API server keeps (1.5 MiB, etcd's limit).
const LONGEST_LINE: usize = 64 << 20;

/// The longest answer, unpacked: as long as a file of objects.
const LONGEST_ANSWER: usize = 1 << 30;

/// Credentials that are good for no longer than this are fetched again before they are used, but no sooner after they were
/// fetched: the clock of who gives them may be another.
const RENEW: Duration = Duration::from_mins(1);

/// How to reach the API server.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Instead of $KUBECONFIG and `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Instead of the current context.
    pub context: Option<String>,
    /// Longest time for one request; zero for no limit.
    pub request_timeout: Duration,
    /// Nobody can answer a credential plugin: one that may ask is not run, as if no API server were configured.
    pub unattended: bool,
}

impl Access {
    /// A credential plugin may take so much longer than a request, unless nobody waits for it.
    const GRACE: Duration = Duration::from_secs(5);

    /// How long a credential plugin may take that cannot ask a person; `None` for as long as it takes.
    pub fn plugin_limit(&self) -> Option<Duration> {
        let grace = if self.unattended { Duration::ZERO } else { Self::GRACE };
        (!self.request_timeout.is_zero()).then(|| self.request_timeout.saturating_add(grace))
    }
}

/// A connection to an API server, which many threads may share.
#[derive(Clone)]
pub struct Server {
    runtime: Arc<tokio::runtime::Runtime>,
    session: Arc<Mutex<Session>>,
    plugin_limit: Option<Duration>,
    request_timeout: Duration,
    /// Its address.
    pub(super) url: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What requests are sent with.
struct Session {
    client: Client,
    /// What it was made of, until when its credentials are good, and when they were fetched; `None` where they stay as they
    /// are.
    until: Option<(Config, Timestamp, Instant)>,
}

impl Session {
    /// Gets credentials, which may run the plugin, and makes a client of them; nothing is sent. Needs a runtime around it.
    async fn begin(config: Config, plugin_limit: Option<Duration>) -> Result<Self, Trouble> {
        let mut with = config.clone();
        let until = credentials::prepare(&mut with.auth_info, plugin_limit).await?;
        let client = Client::try_from(with).map_err(|error| trouble(&error))?;
        Ok(Self { client, until: until.map(|until| (config, until, Instant::now())) })
    }

    /// What to begin again with, if the credentials are soon no longer good.
    fn is_due(&self) -> Option<Config> {
        let (config, until, fetched) = self.until.as_ref()?;
        is_due(until.duration_since(Timestamp::now()), fetched.elapsed()).then(|| config.clone())
    }
}

/// True if credentials that are good for `left` and were fetched `age` ago are to be fetched again.
fn is_due(left: SignedDuration, age: Duration) -> bool {
    let lasts = Duration::try_from(left).is_ok_and(|left| left > RENEW);
    !lasts && age >= RENEW
}

/// What a command that ran in a Pod left. It came to its end: all it printed is here.
pub(super) struct Ended {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// What the kubelet says of its end.
    pub(super) status: Status,
}

/// A GET.
fn request(path: &str) -> Result<http::Request<Vec<u8>>, Trouble> {
    http::Request::get(path).body(Vec::new()).map_err(|error| Trouble::Configuration(error.to_string()))
}

/// Gives what came next of an answer to `piece`, and tells how long it was; nothing is its end.
async fn take<T>(
    mut stream: Pin<&mut impl AsyncBufRead>,
    mut piece: impl FnMut(&[u8]) -> T,
) -> Result<(usize, T), Trouble> {
    let read = poll_fn(|context| {
        let came = ready!(stream.as_mut().poll_fill_buf(context))?;
        let taken = (came.len(), piece(came));
        stream.as_mut().consume(taken.0);
        Poll::Ready(Ok(taken))
    });
    read.await.map_err(|error: std::io::Error| Trouble::Cut(innermost(&error)))
}

/// Bytes of a command's output that wait to be taken over.
const BUFFER: usize = 256 * 1024;

impl Server {
    /// Prepares a connection; nothing is sent. `None` if no API server is configured.
    pub fn connect(access: &Access) -> Result<Option<Self>, Problem> {
        Self::prepared(access)
            .map_err(|(trouble, url)| Problem::with_server(&trouble, url.as_deref().unwrap_or("of the kubeconfig")))
    }

    /// An error comes with the address of the server, where the configuration tells one.
    fn prepared(access: &Access) -> Result<Option<Self>, (Trouble, Option<String>)> {
        let failed = |error: std::io::Error| {
            (Trouble::Configuration(format!("cannot prepare a connection: {}", words(&error.to_string()))), None)
        };
        let runtime = runtime().map_err(failed)?;
        let config = runtime.block_on(configuration(access)).map_err(|trouble| (trouble, None))?;
        let Some(mut config) = config else { return Ok(None) };
        config.connect_timeout = Some(CONNECT);
        config.default_retry = false;
        let url = without_users(config.cluster_url.to_string().trim_end_matches('/'));
        let plugin_limit = access.plugin_limit();
        let session = runtime.block_on(Session::begin(config, plugin_limit));
        let session = Arc::new(Mutex::new(session.map_err(|trouble| (trouble, Some(url.clone())))?));
        let request_timeout = access.request_timeout;
        Ok(Some(Self { runtime: Arc::new(runtime), session, plugin_limit, request_timeout, url }))
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
        let (request, client) = (request(path)?, self.client()?);
        let all = async {
            let stream = client.request_stream(request).await.map_err(|error| trouble(&error))?;
            let mut stream = pin!(stream);
            let mut bytes = 0;
            loop {
                let (length, taken) = take(stream.as_mut(), &mut *piece).await?;
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
        let (request, client) = (request(path)?, self.client()?);
        let patience = if self.request_timeout.is_zero() { silence } else { self.request_timeout };
        self.runtime.block_on(async {
            let stream = tokio::time::timeout(patience, client.request_stream(request)).await;
            let stream = stream.map_err(|_| Trouble::Silent(patience))?.map_err(|error| trouble(&error))?;
            opened();
            let mut stream = pin!(stream);
            let mut rest: Vec<u8> = Vec::new();
            loop {
                let known = rest.len();
                let read = take(stream.as_mut(), |piece| rest.extend_from_slice(piece));
                let read = match tokio::time::timeout(silence, read).await {
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

    /// Runs a command in a container and waits for its end. The time for a request is here the longest silence.
    pub(super) fn exec(
        &self,
        (namespace, pod, container): (&str, &str, &str),
        argv: &[&str],
    ) -> Result<Ended, Trouble> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.client()?, namespace);
        let params = AttachParams {
            container: Some(container.to_owned()),
            stdin: false,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: None,
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        self.runtime.block_on(async {
            let started = self.in_time(pods.exec(pod, argv.iter().copied(), &params)).await?;
            self.finish(started.map_err(|error| trouble(&error))?).await
        })
    }

    /// Reads to the end of a command. Without word of its end what came may be a part, and is not given.
    async fn finish(&self, mut process: AttachedProcess) -> Result<Ended, Trouble> {
        let heard = Heard { last: Cell::new(Instant::now()), bytes: Cell::new(0) };
        let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
        // Where the connection breaks the streams never end; that no status will come is told.
        let status = async {
            match status {
                Some(status) => status.await.ok_or(None),
                None => Err(None),
            }
        };
        let all = async { tokio::try_join!(to_the_end(stdout, &heard), to_the_end(stderr, &heard), status) };
        let all = tokio::select! {
            all = all => all,
            () = self.silence(&heard) => return Err(Trouble::Silent(self.request_timeout)),
        };
        let why = match all {
            Ok((stdout, stderr, status)) => return Ok(Ended { stdout, stderr, status }),
            Err(Some(error)) => words(&error.to_string()),
            Err(None) => match process.join().await {
                Ok(()) => "the command's end was not told".to_owned(),
                Err(error) => innermost(&error),
            },
        };
        Err(Trouble::Cut(format!("{why} ({} bytes had come)", heard.bytes.get())))
    }

    /// Waits until nothing was heard for as long as one request may take.
    async fn silence(&self, heard: &Heard) {
        if self.request_timeout.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let end = heard.last.get() + self.request_timeout;
            tokio::time::sleep_until(end.into()).await;
            if heard.last.get() + self.request_timeout <= Instant::now() {
                return;
            }
        }
    }

    /// Waits as long as one request may take.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, Trouble> {
        if self.request_timeout.is_zero() {
            return Ok(answer.await);
        }
        tokio::time::timeout(self.request_timeout, answer).await.map_err(|_| Trouble::Silent(self.request_timeout))
    }
}

/// What came of a command so far.
struct Heard {
    /// When something came last.
    last: Cell<Instant>,
    /// How much came.
    bytes: Cell<usize>,
}

/// Reads a stream to its end.
async fn to_the_end(stream: Option<impl AsyncRead + Unpin>, heard: &Heard) -> Result<Vec<u8>, Option<std::io::Error>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    loop {
        match stream.read_buf(&mut bytes).await? {
            0 => return Ok(bytes),
            read => {
                heard.last.set(Instant::now());
                heard.bytes.set(heard.bytes.get() + read);
            }
        }
    }
}

/// The first that applies: the kubeconfig named, those of $KUBECONFIG, `~/.kube/config`, the Pod this runs in.
async fn configuration(access: &Access) -> Result<Option<Config>, Trouble> {
    let kubeconfig = match &access.kubeconfig {
        Some(path) => Some(read(path)?),
        None => files()?,
    };
    let is_empty = |config: &Kubeconfig| config.clusters.is_empty() && config.contexts.is_empty();
    if let Some(mut kubeconfig) = kubeconfig.filter(|config| access.kubeconfig.is_some() || !is_empty(config)) {
        if access.unattended && may_ask(&kubeconfig, access.context.as_deref()) {
            return Ok(None);
        }
        keep_stdin(&mut kubeconfig);
        let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        return config.map(Some).map_err(|error| match error {
            KubeconfigError::LoadContext(context) => Trouble::Context { context, contexts },
            KubeconfigError::CurrentContextNotSet => {
                Trouble::Configuration("the kubeconfig has no current context".to_owned())
            }
            other => unreadable(&other, None),
        });
    }
    if let Some(context) = &access.context {
        return Err(Trouble::Context { context: context.clone(), contexts: Vec::new() });
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(None);
    }
    Config::incluster_env().map(Some).map_err(|error| Trouble::Configuration(innermost(&error)))
}

fn read(path: &Path) -> Result<Kubeconfig, Trouble> {
    kubeconfig::check(path).map_err(Trouble::Configuration)?;
    Kubeconfig::read_from(path).map_err(|error| unreadable(&error, Some(path)))
}

/// The files of $KUBECONFIG, else `~/.kube/config`. Like kubectl it passes over those that do not exist.
fn files() -> Result<Option<Kubeconfig>, Trouble> {
    let listed = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let own = || std::env::home_dir().map(|home| home.join(".kube/config"));
    let paths: Vec<PathBuf> = match &listed {
        Some(value) => std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => own().into_iter().collect(),
    };
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|path| Path::exists(path)) {
        let next = read(path)?;
        merged = Some(merged.unwrap_or_default().merge(next).map_err(|error| unreadable(&error, Some(path)))?);
    }
    Ok(merged)
}

/// The contexts of the kubeconfig named, else of those of $KUBECONFIG or `~/.kube/config`; none where it cannot be read.
pub fn contexts(kubeconfig: Option<&Path>) -> Vec<String> {
    let read = match kubeconfig {
        Some(path) => read(path).ok(),
        None => files().unwrap_or_default(),
    };
    read.into_iter().flat_map(|config| config.contexts).map(|context| context.name).collect()
}

/// True if the user of the context has a credential plugin and the kubeconfig does not say that it never asks.
fn may_ask(kubeconfig: &Kubeconfig, context: Option<&str>) -> bool {
    let wanted = context.or(kubeconfig.current_context.as_deref());
    let named = kubeconfig.contexts.iter().find(|context| Some(context.name.as_str()) == wanted);
    let user = named.and_then(|named| named.context.as_ref()).and_then(|context| context.user.as_deref());
    let found = kubeconfig.auth_infos.iter().find(|one| Some(one.name.as_str()) == user);
    let exec = found.and_then(|found| found.auth_info.as_ref()).and_then(|info| info.exec.as_ref());
    exec.is_some_and(credentials::may_ask)
}

/// Keeps credential plugins from our standard input, which may be a dump, unless a person sits there.
fn keep_stdin(kubeconfig: &mut Kubeconfig) {
    if std::io::stdin().is_terminal() {
        return;
    }
    let users = kubeconfig.auth_infos.iter_mut().filter_map(|user| user.auth_info.as_mut());
    for exec in users.filter_map(|user| user.exec.as_mut()) {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
}

fn unreadable(error: &KubeconfigError, path: Option<&Path>) -> Trouble {
    let label = path.map_or("the kubeconfig".to_owned(), |path| path.display().to_string());
    Trouble::Configuration(match error {
        KubeconfigError::ReadConfig(error, _) => format!("cannot read {label}: {}", words(&error.to_string())),
        other => format!("cannot use {label}: {}", words(&other.to_string())),
    })
}

/// What kept a request from its answer.
fn trouble(error: &Error) -> Trouble {
    if let Error::Api(status) = error {
        let message = Some(words(&status.message)).filter(|words| !words.is_empty());
        return Trouble::Status { code: status.code, message: message.unwrap_or_else(|| "no word of why".to_owned()) };
    }
    if let Error::UpgradeConnection(error) = error {
        return Trouble::NoStream(match error {
            UpgradeConnectionError::ProtocolSwitch(code) => format!("it answered {code}"),
            other => words(&other.to_string()),
        });
    }
    let mut chain = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        chain.push(error.to_string());
        next = error.source();
    }
    let all = chain.join(": ");
    let last = words(chain.last().map_or("", String::as_str));
    let has = |part: &str| all.to_lowercase().contains(part);
    if let Some(error) = of_credentials(error) {
        Trouble::Credentials(words(&error.to_string()))
    } else if has("fatal alert") && has("certificate") {
        // The server's word on ours; what we think of the server's is no alert.
        Trouble::Credentials(format!("it refused the client certificate ({last})"))
    } else if has("certificate") || has("tls") {
        Trouble::Certificate(last)
    } else if has("deadline has elapsed") && has("connect") {
        Trouble::Unreachable(format!("no connection in {} s", CONNECT.as_secs()))
    } else if has("incompletemessage") || has("before message completed") || has("body") {
        Trouble::Cut(last)
    } else {
        Trouble::Unreachable(last)
    }
}

/// The error of getting credentials that is behind `error`.
fn of_credentials(error: &Error) -> Option<&AuthError> {
    if let Error::Auth(error) = error {
        return Some(error);
    }
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    words(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_fetched_again_before_they_end_and_not_at_every_request() {
        let (hour, minute) = (SignedDuration::from_hours(1), Duration::from_mins(1));
        assert!(!is_due(hour, minute * 60));
        assert!(is_due(SignedDuration::from_mins(1), minute));
        assert!(is_due(-hour, minute));
        // Their clock is an hour behind ours: what they give is over when it comes.
        assert!(!is_due(-hour, Duration::from_secs(59)));
    }
}
