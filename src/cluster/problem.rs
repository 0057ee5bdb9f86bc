//! What goes wrong with an API server, in words: what was tried, what happened, what to do next.

use std::time::Duration;

use super::rights::Right;
use super::words::words;
use crate::cores;
use crate::shell;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The kubeconfig cannot be used.
    Configuration(String),
    /// It has no such context.
    Context { context: String, contexts: Vec<String> },
    /// It does not say which of its contexts is meant.
    NoContext { contexts: Vec<String> },
    /// This runs in a Pod, and what that was given does not do; with what to do next.
    OfPod(String, &'static str),
    /// Credentials could not be obtained.
    Credentials(String),
    /// No connection.
    Unreachable(String),
    /// No answer in time.
    Silent(Duration),
    /// The credential plugin did not end in time.
    Plugin(Duration),
    /// The server's certificate was refused.
    Certificate(String),
    /// The answer ended too early.
    Cut(String),
    /// The server refused.
    Status { code: u16, message: String },
    /// The answer is not what was asked for.
    Nonsense(String),
    /// It, or a proxy before it, did not open the stream that the output of a command needs.
    NoStream(String),
}

impl Trouble {
    /// The server refused with this code, and said this.
    pub(super) fn refused(code: u16, said: &str) -> Self {
        let message = Some(words(said)).filter(|words| !words.is_empty());
        Self::Status { code, message: message.unwrap_or_else(|| "no word of why".to_owned()) }
    }
}

/// Where a server is asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct At<'s> {
    /// Its address.
    pub(super) url: &'s str,
    /// What leads there.
    pub(super) proxy: Option<&'s Detour>,
}

/// A proxy, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detour {
    /// Its address, without the user it may have there.
    pub(super) url: String,
    /// What names it.
    pub(super) from: &'static str,
    /// It is told who asks.
    pub(super) has_user: bool,
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url)?;
        match self.proxy {
            Some(Detour { url, from, .. }) => write!(f, " (through the proxy {url} of {from})"),
            None => Ok(()),
        }
    }
}

/// A problem to tell about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// One line.
    pub what: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The cluster's Services and endpoints are not known because of it.
    pub fatal: bool,
    /// What the person named cannot be used; the server was not asked.
    pub of_configuration: bool,
}

impl Problem {
    /// The credential plugin did not end in time.
    pub fn with_plugin(limit: Duration) -> Self {
        Self::with_server(&Trouble::Plugin(limit), At::default())
    }

    /// No thread can be started to ask.
    pub fn without_thread(error: &std::io::Error) -> Self {
        let what = format!("the API server is not asked: no thread can be started for it: {error}");
        Self { what, hint: Some(cores::LIMIT.to_owned()), fatal: true, of_configuration: false }
    }

    /// The problem with getting at the server or with asking it.
    pub(super) fn with_server(trouble: &Trouble, at: At<'_>) -> Self {
        let At { url, .. } = at;
        let (what, hint) = match trouble {
            Trouble::Configuration(why) => (why.clone(), None),
            Trouble::Context { context, contexts } => {
                let near = crate::dataplane::nearest(context, contexts.iter().map(String::as_str));
                let hint = in_context(if near.is_empty() { contexts } else { &near });
                (format!("the kubeconfig has no context '{context}'"), hint)
            }
            Trouble::NoContext { contexts } => {
                ("the kubeconfig has no current context".to_owned(), in_context(contexts))
            }
            Trouble::OfPod(why, hint) => {
                (format!("the API server of this Pod's cluster cannot be asked: {why}"), Some((*hint).to_owned()))
            }
            Trouble::Credentials(why) => (
                format!("no credentials for the API server {url}: {why}"),
                Some("kubectl get --raw /version    (uses the same credentials)".to_owned()),
            ),
            Trouble::Unreachable(why) => {
                (format!("the API server {at} cannot be reached: {why}"), Some(format!("{}    {ALONE}", curl(at))))
            }
            Trouble::Silent(limit) => (
                format!("the API server {at} gave no answer in {}", seconds(*limit)),
                Some(format!("--request-timeout 2m    {ALONE}")),
            ),
            Trouble::Plugin(limit) => (
                format!("the credential plugin of the kubeconfig did not end in {}", seconds(*limit)),
                Some("kubectl get --raw /version    (uses the same credentials)".to_owned()),
            ),
            Trouble::Certificate(why) => (
                format!("the certificate of the API server {at} was refused: {why}"),
                Some("check certificate-authority-data and server in the kubeconfig".to_owned()),
            ),
            Trouble::Cut(why) => {
                (format!("the API server {at} closed the connection in the middle of an answer: {why}"), None)
            }
            Trouble::Status { code: 401, .. } => (
                format!(
                    "the API server {url} does not accept the credentials (401 Unauthorized): a token may have expired"
                ),
                Some("kubectl auth whoami    (then log in again)".to_owned()),
            ),
            Trouble::Status { code, message } => (format!("the API server {at} answered {code}: {message}"), None),
            Trouble::NoStream(why) => (
                format!("the API server {at} opened no websocket for the output of commands: {why}"),
                Some("kubectl exec    (does it work? a proxy or load balancer may not pass websockets on)".to_owned()),
            ),
            Trouble::Nonsense(why) => (
                format!("the API server {at} answered what is no Kubernetes object: {why}"),
                Some(format!("{}    (is it an API server?)", curl(at))),
            ),
        };
        let of_configuration =
            matches!(trouble, Trouble::Configuration(_) | Trouble::Context { .. } | Trouble::NoContext { .. });
        Self { what, hint, fatal: true, of_configuration }
    }

    /// The problem with reading what `right` is for; `lost` says what is not known because of it.
    pub(super) fn with_right(trouble: &Trouble, right: Right, lost: &str, at: At<'_>) -> Self {
        match trouble {
            Trouble::Status { code: 403, message } => Self::forbidden(message, right, lost),
            other => Self { fatal: right.needed, ..Self::with_server(other, at) },
        }
    }

    /// The server forbids to get, list or watch objects of one kind; `lost` says what is not known because of it.
    fn forbidden(message: &str, right: Right, lost: &str) -> Self {
        // What `-n` narrows is asked for in one namespace.
        let of_cluster = right.needed && message.contains("at the cluster scope");
        Self {
            what: format!("the API server forbids to read {}: {message}; {lost}", right.resource),
            hint: Some(as_rule(right) + if of_cluster { "; or -n NAMESPACE, with rights in one" } else { "" }),
            fatal: right.needed,
            of_configuration: false,
        }
    }
}

const ALONE: &str = "(or --no-api for the rules alone)";

/// The rule that gives a right.
fn as_rule(right: Right) -> String {
    let verbs = Right::VERBS.map(|verb| format!("\"{verb}\"")).join(", ");
    // Of one object only: the others of its kind may hold anything.
    let (named, place) = match right {
        Right::CONFIG => ("resourceNames: [\"kube-proxy\"], ", " in kube-system"),
        _ => ("", ""),
    };
    format!(
        "allow {{apiGroups: [\"{}\"], resources: [\"{}\"], {named}verbs: [{verbs}]}}{place}; kube-ipt manifest rbac prints all that is \
         needed",
        right.group, right.resource
    )
}

/// Names one of the first contexts; nothing where there is none.
fn in_context(contexts: &[String]) -> Option<String> {
    let known: Vec<_> = contexts.iter().take(5).map(|name| shell::word(name)).collect();
    (!known.is_empty()).then(|| format!("--context {}", known.join(" or --context ")))
}

/// Asks the server who it is, the same way as before and past all else that was tried.
fn curl(at: At<'_>) -> String {
    let proxy = at.proxy.map(|Detour { url, has_user, .. }| {
        let user = if *has_user { "-U USER:PASSWORD " } else { "" };
        format!("-x {} {user}", shell::word(url))
    });
    format!("curl -k {}{}", proxy.unwrap_or_default(), shell::word(&format!("{}/version", at.url)))
}

/// `5 s`, `500 ms`
fn seconds(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds.is_multiple_of(1000) { format!("{} s", milliseconds / 1000) } else { format!("{milliseconds} ms") }
}
