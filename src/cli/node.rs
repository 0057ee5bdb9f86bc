//! A node that is read through the API: its rules are listed by commands in one of its Pods.

use super::Failure;
use super::args::SourceArgs;
use crate::cluster::{Api, End, NoPlace, Place, Problem, Server};
use crate::cores;
use crate::net::Family;
use crate::shell;
use crate::source::{
    self, Allowed, Bundle, Finished, Host, IPTABLES, Machine, NotRun, Origin, PROXY, SourceError, Tables, allowed,
};

impl From<NoPlace> for Failure {
    fn from(no: NoPlace) -> Self {
        Self { what: no.what, hints: no.hints }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { what: problem.what, hints: problem.hint.into_iter().collect() }
    }
}

/// `NAMESPACE/POD[:CONTAINER]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Via {
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: Option<String>,
}

impl std::str::FromStr for Via {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pod, container) = match text.split_once(':') {
            Some((pod, container)) => (pod, Some(container.to_owned())),
            None => (text, None),
        };
        let (namespace, pod) = pod.split_once('/').ok_or("give it as NAMESPACE/POD or NAMESPACE/POD:CONTAINER")?;
        if [Some(namespace), Some(pod), container.as_deref()].into_iter().flatten().any(str::is_empty) {
            return Err("give it as NAMESPACE/POD or NAMESPACE/POD:CONTAINER".to_owned());
        }
        Ok(Self { namespace: namespace.to_owned(), pod: pod.to_owned(), container })
    }
}

/// A connection to the API server, which a node that is read through it needs.
pub(super) fn connected(args: &SourceArgs) -> Result<Server, Failure> {
    if let Some(server) = Server::connect(&args.objects.api.access())? {
        return Ok(server);
    }
    let what = "another node is read through the API server, and none is configured: there is no kubeconfig, and this is no Pod";
    let mut hints = vec!["--kubeconfig FILE".to_owned()];
    if let Some(node) = &args.objects.node {
        let (node, host) = (shell::word(node), shell::operand(node));
        hints.push(format!("ssh {host} sudo iptables-save | kube-ipt show    (without an API server)"));
        hints.push(format!("NODE_NAME={node} kube-ipt show    (if this host is that node under another name)"));
    }
    Err(Failure { what: what.to_owned(), hints })
}

/// Where the rules of the node are listed that `args` name.
pub(super) fn place(api: &Api, args: &SourceArgs) -> Result<Place, Failure> {
    let node = args.objects.node.as_deref();
    let Some(via) = &args.via else {
        return Ok(api.place_on(node.unwrap_or_default())?);
    };
    let place = api.place_in(&via.namespace, &via.pod, via.container.as_deref())?;
    if let Some(node) = node.filter(|node| *node != place.node) {
        let what = format!("Pod {}/{} runs on node {}, not on {node}", via.namespace, via.pod, place.node);
        return Err(Failure { what, hints: vec![format!("--node {}, or another Pod", shell::word(&place.node))] });
    }
    Ok(place)
}

/// Lists the rules of a node in one of its Pods.
pub(super) fn listed(api: &Api, place: Place, family: Option<Family>, tables: Tables) -> Result<Bundle, Failure> {
    let (node, version) = (place.node.clone(), place.version.clone());
    let host = InPod::new(api, place)?;
    let mut bundle = source::listed(&host, source::Wanted { family, tables })?;
    bundle.node = Some(node);
    bundle.versions.extend(version.map(|version| (PROXY.to_owned(), version)));
    bundle.notes.extend(host.note());
    Ok(bundle)
}

/// A Pod as a place where commands are run.
struct InPod<'a> {
    api: &'a Api,
    place: Place,
    /// Variants of iptables that the container has.
    variants: Vec<&'static str>,
    /// Legacy tables the kernel has, of either family; `None` where the container cannot tell.
    legacy: [Option<Vec<String>>; 2],
}

impl<'a> InPod<'a> {
    /// Asks the container what it has, all at once.
    fn new(api: &'a Api, place: Place) -> Result<Self, SourceError> {
        let mut host = Self { api, place, variants: Vec::new(), legacy: [None, None] };
        let ((four, six), variants) = cores::both(
            || cores::both(|| host.names(Family::Ipv4), || host.names(Family::Ipv6)),
            || cores::each(IPTABLES.into_iter().flatten(), |program| host.is_there(program)),
        );
        for (program, there) in IPTABLES.into_iter().flatten().zip(variants) {
            if there? {
                host.variants.push(program);
            }
        }
        host.legacy = [four, six];
        Ok(host)
    }

    fn is_there(&self, program: &str) -> Result<bool, SourceError> {
        let version = allowed().find(|command| command.program == program && command.args == ["--version"]);
        match version.map(|command| self.run(command)) {
            Some(Ok(_)) => Ok(true),
            Some(Err(NotRun::Because(error))) => Err(error),
            Some(Err(NotRun::Absent)) | None => Ok(false),
        }
    }

    /// Names of the kernel's legacy tables, by `cat`, which small images lack.
    fn names(&self, family: Family) -> Option<Vec<String>> {
        let file = if family == Family::Ipv4 { "/proc/net/ip_tables_names" } else { "/proc/net/ip6_tables_names" };
        let command = allowed().find(|command| command.program == "cat" && command.args == [file])?;
        let finished = self.run(command).ok()?;
        match finished.code {
            Some(0) => Some(finished.stdout.lines().map(str::to_owned).collect()),
            // The kernel makes the file with the first table.
            _ if finished.stderr.contains("No such file") => Some(Vec::new()),
            _ => None,
        }
    }

    /// What is to be said of what could not be looked at.
    fn note(&self) -> Option<String> {
        let both = |nft, legacy| self.variants.contains(&nft) && self.variants.contains(&legacy);
        (self.legacy[0].is_none() && both("iptables-nft", "iptables-legacy")).then(|| {
            format!(
                "whether node {} has rules of iptables-legacy too was not looked at: the container has no cat to tell it, and \
                 asking iptables-legacy may create its tables",
                self.place.node
            )
        })
    }
}

impl Host for InPod<'_> {
    fn run(&self, command: Allowed) -> Result<Finished, NotRun> {
        let argv: Vec<&str> = std::iter::once(command.program).chain(command.args.iter().copied()).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.api.exec(&self.place, &argv) {
            Ok(End::Exit(code, stdout, stderr)) => {
                Ok(Finished { stdout: text(&stdout), stderr: text(&stderr), code: Some(code) })
            }
            Ok(End::Absent) => Err(NotRun::Absent),
            Ok(End::Failed(why)) => Err(NotRun::Because(SourceError {
                what: format!("cannot list rules{}: {} was not run: {why}", self.place(), command.typed()),
                hints: self.other_ways(),
            })),
            Err(no) => Err(NotRun::Because(SourceError { what: no.what, hints: no.hints })),
        }
    }

    fn has(&self, program: &str) -> bool {
        let known = self.variants.contains(&program);
        // Without word of the kernel's tables kube-proxy's own choice is read, which is the program without a variant.
        known && (!program.ends_with("-legacy") || self.legacy[usize::from(program.starts_with("ip6"))].is_some())
    }

    fn legacy_tables(&self, family: Family) -> Option<Vec<String>> {
        self.legacy[usize::from(family == Family::Ipv6)].clone()
    }

    fn has_ipvs(&self) -> bool {
        // Asked where rules of IPVS mode were found, which kube-proxy writes after it loaded the module.
        true
    }

    fn proxy_mode(&self) -> Option<String> {
        None
    }

    fn origin(&self) -> Origin {
        Origin::Pod(format!("{}/{}", self.place.namespace, self.place.pod))
    }

    fn machine(&self) -> Option<Machine> {
        None
    }

    fn path(&self) -> String {
        let Place { namespace, pod, container, .. } = &self.place;
        format!("container {container} of Pod {namespace}/{pod}")
    }

    fn place(&self) -> String {
        format!(" in Pod {}/{}", self.place.namespace, self.place.pod)
    }

    fn other_ways(&self) -> Vec<String> {
        let node = shell::operand(&self.place.node);
        vec![
            "--via NAMESPACE/POD[:CONTAINER]    (another Pod of the node with host network and the tools)".to_owned(),
            format!("ssh {node} sudo iptables-save | kube-ipt show"),
        ]
    }
}
