//! Names that complete a command line: of Services, namespaces, Nodes and contexts. They come from the dump and the objects
//! that stand on the line, else from the API server. What takes longer than a person waits for a tab is left out.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clap::{ArgMatches, FromArgMatches as _};

use super::args::SourceArgs;
use super::objects;
use super::scene::{self, Question};
use crate::cluster::Facts;
use crate::dataplane::ServiceName;
use crate::order::Order as _;

/// Names come in this time or not at all.
const LIMIT: Duration = Duration::from_millis(900);

/// Where the names of one command line come from.
pub(super) struct Names {
    source: Option<SourceArgs>,
    namespace: Option<String>,
}

impl Names {
    /// Those of the command line that was understood as `matches`.
    pub(super) fn of(matches: Option<&ArgMatches>) -> Self {
        let text = |id| matches?.try_get_one::<String>(id).ok().flatten().cloned();
        // Only commands that read rules have these flags.
        let reads = matches.filter(|matches| matches.try_contains_id("file").is_ok());
        let source = reads.and_then(|matches| SourceArgs::from_arg_matches(matches).ok());
        Self { source, namespace: text("namespace") }
    }

    /// The only namespace that is asked for.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Service ports.
    pub(super) fn services(&self) -> Vec<ServiceName> {
        self.look(self.namespace.clone(), of_rules, |facts| {
            let of_service = |service: &crate::cluster::Service| {
                let name =
                    |port| ServiceName { namespace: service.namespace.clone(), service: service.name.clone(), port };
                let ports = service.ports.iter().map(|port| name(port.name.clone())).collect::<Vec<_>>();
                if ports.is_empty() { vec![name(None)] } else { ports }
            };
            facts.services.iter().flat_map(of_service).collect()
        })
    }

    /// Namespaces that have Services: to list Namespaces is no right this program asks for.
    pub(super) fn namespaces(&self) -> Vec<String> {
        let all = self.look(None, of_rules, |facts| {
            facts
                .services
                .iter()
                .map(|s| ServiceName { namespace: s.namespace.clone(), service: String::new(), port: None })
                .collect()
        });
        sorted(all.into_iter().map(|name| name.namespace))
    }

    /// Nodes.
    pub(super) fn nodes(&self) -> Vec<String> {
        let Some(source) = self.source.clone() else { return Vec::new() };
        let found = within(LIMIT, move || {
            let facts = if source.objects.objects.is_empty() { api_nodes(&source)? } else { saved(&source)? };
            Some(facts.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>())
        });
        sorted(found.into_iter().flatten())
    }

    /// Contexts of the kubeconfig.
    #[cfg(feature = "live")]
    pub(super) fn contexts(&self) -> Vec<String> {
        let read = |source: &SourceArgs| crate::cluster::contexts(source.objects.api.kubeconfig.as_deref());
        sorted(self.source.as_ref().map(read).unwrap_or_default())
    }

    /// Without an API server there are none.
    #[cfg(not(feature = "live"))]
    #[expect(clippy::unused_self, reason = "as with an API server")]
    pub(super) fn contexts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Looks where the line says: rules and what is given with them, else objects.
    fn look(
        &self,
        namespace: Option<String>,
        of_rules: fn(&SourceArgs) -> Option<Vec<ServiceName>>,
        of_facts: fn(&Facts) -> Vec<ServiceName>,
    ) -> Vec<ServiceName> {
        let Some(source) = self.source.clone() else { return Vec::new() };
        let found = within(LIMIT, move || {
            if source.demo.is_some() || !source.file.is_empty() {
                of_rules(&source)
            } else if source.objects.objects.is_empty() {
                api_services(&source, namespace).as_deref().map(of_facts)
            } else {
                saved(&source).as_deref().map(of_facts)
            }
        });
        found.unwrap_or_default()
    }
}

fn sorted(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect();
    names.order();
    names.dedup();
    names
}

/// What `work` gives, if it does in time. Otherwise the program ends while it still works.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    let (done, waiting) = mpsc::channel();
    let started = std::thread::Builder::new().spawn(move || {
        // Nobody listens any more if it took long.
        let _ = done.send(work());
    });
    started.ok()?;
    waiting.recv_timeout(limit).ok().flatten()
}

/// Standard input is the terminal somebody types at.
fn is_stdin(path: impl AsRef<Path>) -> bool {
    path.as_ref().as_os_str() == "-"
}

/// The names in a dump, and in the objects that are given with it. No API server is asked, which the dump need not be of.
fn of_rules(source: &SourceArgs) -> Option<Vec<ServiceName>> {
    let mut source = source.clone();
    if source.file.iter().chain(&source.objects.objects).any(is_stdin) {
        return None;
    }
    source.objects.no_api = source.demo.is_none();
    let question = Question::new(&[], None, &source, false).ok()?;
    scene::with(&question, |scene| Ok(scene.services.iter().filter_map(|port| port.name.clone()).collect())).ok()
}

/// The facts in saved objects.
fn saved(source: &SourceArgs) -> Option<Arc<Facts>> {
    let paths = &source.objects.objects;
    if paths.iter().any(is_stdin) { None } else { objects::files(paths).ok()?.facts }
}

#[cfg(feature = "live")]
fn connect(source: &SourceArgs) -> Option<crate::cluster::Api> {
    if source.objects.no_api {
        return None;
    }
    let access = crate::cluster::Access { request_timeout: LIMIT, unattended: true, ..source.objects.api.access() };
    crate::cluster::Server::connect(&access).ok()?.map(crate::cluster::Api::new)
}

#[cfg(feature = "live")]
fn api_services(source: &SourceArgs, namespace: Option<String>) -> Option<Arc<Facts>> {
    let mut api = connect(source)?;
    api.fetch_services(&crate::cluster::Wanted::All(namespace));
    Some(Arc::new(api.facts()))
}

#[cfg(feature = "live")]
fn api_nodes(source: &SourceArgs) -> Option<Arc<Facts>> {
    let mut api = connect(source)?;
    api.nodes();
    Some(Arc::new(api.facts()))
}

#[cfg(not(feature = "live"))]
fn api_services(_: &SourceArgs, _: Option<String>) -> Option<Arc<Facts>> {
    None
}

#[cfg(not(feature = "live"))]
fn api_nodes(_: &SourceArgs) -> Option<Arc<Facts>> {
    None
}
