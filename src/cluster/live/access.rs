//! Which API server to ask, and who asks: kubeconfigs, or the Pod this runs in.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::{credentials, kubeconfig, pod, proxy};
use crate::cluster::problem::{Detour, Trouble};
use crate::cluster::words::words;
use crate::shell;

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

    /// What shows the kubeconfig that cannot be used; kubectl shows one that is not there as an empty one, and reads a device without
    /// end.
    pub(super) fn look(&self) -> Option<String> {
        let list = std::env::var_os("KUBECONFIG").unwrap_or_default();
        let is_odd = |path: &Path| path.exists() && !path.is_file();
        if self.kubeconfig.as_ref().is_some_and(|path| !path.is_file())
            || self.kubeconfig.is_none() && std::env::split_paths(&list).any(|path| is_odd(&path))
        {
            return None;
        }
        let named =
            self.kubeconfig.as_ref().map(|path| format!(" --kubeconfig {}", shell::word(&path.to_string_lossy())));
        Some(format!("kubectl config view{}    (what it says, without secrets)", named.unwrap_or_default()))
    }

    /// How long a credential plugin may take that cannot ask a person; `None` for as long as it takes.
    pub fn plugin_limit(&self) -> Option<Duration> {
        let grace = if self.unattended { Duration::ZERO } else { Self::GRACE };
        (!self.request_timeout.is_zero()).then(|| self.request_timeout.saturating_add(grace))
    }
}

/// The first that applies: the kubeconfig named, those of $KUBECONFIG, `~/.kube/config`, the Pod this runs in. With the proxy that
/// the server is asked through.
pub(super) async fn configuration(access: &Access) -> Result<Option<(Config, Option<Detour>)>, Trouble> {
    let kubeconfig = match &access.kubeconfig {
        Some(path) => Some(read(path)?),
        None => files()?,
    };
    let is_empty = |config: &Kubeconfig| config.clusters.is_empty() && config.contexts.is_empty();
    if let Some(mut kubeconfig) = kubeconfig.filter(|config| access.kubeconfig.is_some() || !is_empty(config)) {
        if access.unattended && may_ask(&kubeconfig, access.context.as_deref()) {
            return Ok(None);
        }
        for path in named_files(&kubeconfig, access.context.as_deref()) {
            kubeconfig::check_named(path).map_err(Trouble::Configuration)?;
        }
        keep_stdin(&mut kubeconfig);
        let named = cluster(&kubeconfig, access.context.as_deref()).and_then(|cluster| cluster.proxy_url.clone());
        let contexts: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.map_err(|error| match error {
            KubeconfigError::LoadContext(context) => Trouble::Context { context, contexts },
            KubeconfigError::CurrentContextNotSet => Trouble::NoContext { contexts },
            KubeconfigError::LoadClusterOfContext(name) => Trouble::Configuration(format!(
                "the context of the kubeconfig names cluster '{name}', which is not in it"
            )),
            other => unreadable(&other, None),
        })?;
        let chosen = proxy::proxy(named.as_deref(), &config.cluster_url, |name| std::env::var(name).ok())?;
        let (uri, detour) = chosen.unzip();
        config.proxy_url = uri;
        return Ok(Some((config, detour)));
    }
    if let Some(context) = &access.context {
        return Err(Trouble::Context { context: context.clone(), contexts: Vec::new() });
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(None);
    }
    pod::configuration().map(|config| Some((config, None)))
}

fn read(path: &Path) -> Result<Kubeconfig, Trouble> {
    kubeconfig::check(path).map_err(Trouble::Configuration)?;
    Kubeconfig::read_from(path).map_err(|error| unreadable(&error, Some(path)))
}

/// The files that $KUBECONFIG names; `None` if it is not set.
fn listed() -> Option<Vec<PathBuf>> {
    let value = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty())?;
    Some(std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect())
}

/// The files that $KUBECONFIG names, if there is none of them.
pub fn lost_kubeconfigs() -> Vec<PathBuf> {
    listed().filter(|paths| !paths.iter().any(|path| path.exists())).unwrap_or_default()
}

/// The files of $KUBECONFIG, else `~/.kube/config`. Like kubectl it passes over those that do not exist.
fn files() -> Result<Option<Kubeconfig>, Trouble> {
    let own = || std::env::home_dir().map(|home| home.join(".kube/config"));
    let paths = listed().unwrap_or_else(|| own().into_iter().collect());
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
    let exec = user(kubeconfig, context).and_then(|user| user.exec.as_ref());
    exec.is_some_and(credentials::may_ask)
}

/// The context that is used.
fn used<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> Option<&'k Context> {
    let wanted = context.or(kubeconfig.current_context.as_deref());
    kubeconfig.contexts.iter().find(|context| Some(context.name.as_str()) == wanted)?.context.as_ref()
}

/// The user of the context that is used.
fn user<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> Option<&'k AuthInfo> {
    let name = used(kubeconfig, context)?.user.as_deref();
    kubeconfig.auth_infos.iter().find(|one| Some(one.name.as_str()) == name)?.auth_info.as_ref()
}

/// The cluster of the context that is used.
fn cluster<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> Option<&'k Cluster> {
    let name = used(kubeconfig, context)?.cluster.as_str();
    kubeconfig.clusters.iter().find(|one| one.name == name)?.cluster.as_ref()
}

/// The files of certificates, keys and tokens that the context that is used names. What stands in the kubeconfig itself is used
/// instead of a file.
fn named_files<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> impl Iterator<Item = &'k Path> {
    let cluster = cluster(kubeconfig, context).filter(|cluster| cluster.certificate_authority_data.is_none());
    let authority = cluster.and_then(|cluster| cluster.certificate_authority.as_ref());
    let own = user(kubeconfig, context).into_iter().flat_map(|user| {
        [
            user.token_file.as_ref().filter(|_| user.token.is_none()),
            user.client_certificate.as_ref().filter(|_| user.client_certificate_data.is_none()),
            user.client_key.as_ref().filter(|_| user.client_key_data.is_none()),
        ]
    });
    authority.into_iter().chain(own.flatten()).map(Path::new)
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
