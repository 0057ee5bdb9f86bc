//! Flags that several commands share.
//!
//! What such a struct is stands in plain comments: clap takes a doc comment for what the command says of itself.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::net::Family;

// Where the rules come from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SourceArgs {
    /// Read a saved dump: iptables-save, iptables -S or -L; nft list ruleset, as text or JSON; ipvsadm -Sn or -Ln, with
    /// ipset save, iptables-save and ip addr beside it. Whole or in parts, gzip too. `-` is standard input.
    /// May be given several times.
    ///
    /// Also a directory, tar, tar.gz or zip of dumps: a snapshot of kube-ipt, or the bundle of a log collector (EKS, Rancher,
    /// sos). Each table is read in the form that says most, and the objects in it are used. Of several nodes, --node chooses.
    ///
    /// Without it, a pipe or file on standard input is read, else the rules of this node (as root).
    #[arg(short, long, value_name = "FILE", help_heading = "Where the rules come from")]
    pub(super) file: Vec<PathBuf>,
    /// Use a node recorded with this program: no cluster, no root, no file.
    #[arg(
        long,
        value_enum,
        value_name = "STATE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "in-sync",
        conflicts_with_all = ["file", "objects", "node"],
        help_heading = "Where the rules come from"
    )]
    pub(super) demo: Option<DemoArg>,
    /// List the rules by commands in this Pod, through the API server: any Pod of the node with host network and the tools.
    ///
    /// For nodes without a kube-proxy Pod (k3s, RKE2, Talos, managed clusters), and where its image lacks a tool.
    #[cfg(feature = "live")]
    #[arg(
        long,
        value_name = "NAMESPACE/POD[:CONTAINER]",
        conflicts_with_all = ["file", "demo"],
        help_heading = "Where the rules come from"
    )]
    pub(super) via: Option<super::node::Via>,
    /// Show this family only; rules that do not tell their family are taken to be of it.
    #[arg(long, value_enum, value_name = "FAMILY", help_heading = "Where the rules come from")]
    pub(super) family: Option<FamilyArg>,
    #[command(flatten)]
    pub(super) objects: ObjectArgs,
    /// Where the rules are read, as far as a command settles it.
    #[arg(skip)]
    pub(super) reads: Reads,
}

/// Where rules are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reads {
    /// Where the flags and standard input say.
    #[default]
    Any,
    /// On this machine, whatever else is named or offered.
    Here,
    /// On the node that is named, whatever is on standard input.
    Named,
}

// Where Services and endpoints come from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ObjectArgs {
    /// Read saved objects: a file or directory of JSON or YAML as `kubectl get services,endpointslices,pods,nodes -A -o
    /// json` writes it, gzip too. `-` is standard input. May be given several times.
    ///
    /// Without it, the API server of the kubeconfig or of the Pod this runs in is asked; where there is none, the rules
    /// are shown alone.
    #[arg(long, value_name = "FILE|DIR", help_heading = "Where the objects come from")]
    pub(super) objects: Vec<PathBuf>,
    /// The node whose rules are read: through the API server, by commands in its kube-proxy Pod, unless this host is that
    /// node. With a dump, the node it is of: decides which endpoints are local and which topology hints apply.
    ///
    /// Without it, $NODE_NAME, else the Node that has this host's name or address where its own rules are read.
    #[arg(long, value_name = "NODE", help_heading = "Where the rules come from")]
    pub(super) node: Option<String>,
    /// Use only the objects that are given or come with the rules, as in a snapshot; ask no API server, as far as a command
    /// settles it.
    #[arg(skip)]
    pub(super) saved_only: bool,
    /// Use the rules alone and ask no API server.
    #[arg(long, help_heading = "Where the objects come from")]
    pub(super) no_api: bool,
    #[cfg(feature = "live")]
    #[command(flatten)]
    pub(super) api: ApiArgs,
}

// How the API server is reached.
#[cfg(feature = "live")]
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ApiArgs {
    /// Use this kubeconfig instead of $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_api", "objects", "demo"], help_heading = "Where the objects come from")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["no_api", "objects", "demo"], help_heading = "Where the objects come from")]
    pub(super) context: Option<String>,
    /// Fail if the API server does not answer, instead of showing the rules alone.
    #[arg(long, conflicts_with_all = ["no_api", "objects", "demo"], help_heading = "Where the objects come from")]
    pub(super) require_api: bool,
    /// How long one request to the API server may take (10s, 1m, 500ms); 0 for no limit.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = duration,
        help_heading = "Where the objects come from"
    )]
    pub(super) request_timeout: std::time::Duration,
}

impl ObjectArgs {
    /// True if the flags say which API server to ask.
    #[cfg(feature = "live")]
    pub(super) fn names_server(&self) -> bool {
        self.api.require_api || self.api.is_named()
    }

    /// There is none to ask.
    #[cfg(not(feature = "live"))]
    #[expect(clippy::unused_self, reason = "as with an API server")]
    pub(super) fn names_server(&self) -> bool {
        false
    }
}

#[cfg(feature = "live")]
impl ApiArgs {
    /// True if the command line says which API server it is.
    pub(super) fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// How the API server is reached for somebody who waits for the answer.
    pub(super) fn access(&self) -> crate::cluster::Access {
        crate::cluster::Access {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            request_timeout: self.request_timeout,
            unattended: false,
        }
    }
}

/// Reads `10s`, `1m`, `500ms`, and like kubectl a bare number of seconds.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| "give a number and a unit, such as 10s".to_owned())?;
    let milliseconds = match &text[digits..] {
        "" | "s" => number.checked_mul(1000),
        "ms" => Some(number),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err("the unit is ms, s, m or h".to_owned()),
    };
    milliseconds.map(std::time::Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

// Answers that go on.
#[cfg(feature = "live")]
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct WatchArgs {
    /// Go on: read the rules again every TIME (2s, 500ms), follow the API server, and answer whenever something is
    /// different.
    ///
    /// A terminal is redrawn in place, with what changed marked. Elsewhere each change is one whole answer: with -o json
    /// one line, with -o yaml one document. Counters that move are no change. A reading that fails is said, and the answer
    /// before it stays. Ctrl-C ends it.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = interval,
        conflicts_with = "demo"
    )]
    pub(super) watch: Option<std::time::Duration>,
}

/// Reads the time between two readings of the rules.
pub(super) fn interval(text: &str) -> Result<std::time::Duration, String> {
    let least = std::time::Duration::from_millis(200);
    duration(text).and_then(|time| if time < least { Err("at least 200ms".to_owned()) } else { Ok(time) })
}

/// `--demo`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DemoArg {
    /// A node in sync with its cluster.
    InSync,
    /// The same after kube-proxy was stopped and a pod replaced: a third of the traffic goes to an address that is gone.
    Stale,
}

impl From<DemoArg> for crate::source::Demo {
    fn from(demo: DemoArg) -> Self {
        match demo {
            DemoArg::InSync => Self::InSync,
            DemoArg::Stale => Self::Stale,
        }
    }
}

// Which namespace. As a plugin of kubectl too that of the kubeconfig's context is not used: an answer that silently lacks
// Services would be taken for the whole node.
#[derive(Debug, clap::Args)]
pub(super) struct NamespaceArgs {
    /// Only what is in this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// What is in any namespace, as without -n.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl NamespaceArgs {
    /// The only namespace that is wanted.
    pub(super) fn only(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|_| !self.all_namespaces)
    }
}

// How the answer looks.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    #[command(flatten)]
    pub(super) namespace: NamespaceArgs,
    /// Show every endpoint of large Services.
    #[arg(short, long)]
    pub(super) all: bool,
}

/// Forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Services with their frontends and endpoints.
    Tree,
    /// Rows.
    Table,
    /// Rows with every column.
    Wide,
    /// JSON, schema kube-ipt/v1.
    Json,
    /// The same as YAML.
    Yaml,
    /// A drawing for Graphviz.
    Dot,
    /// A drawing for Mermaid.
    Mermaid,
}

/// `--family`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FamilyArg {
    /// Rules of iptables.
    Ipv4,
    /// Rules of ip6tables.
    Ipv6,
}

impl From<FamilyArg> for Family {
    fn from(family: FamilyArg) -> Self {
        match family {
            FamilyArg::Ipv4 => Self::Ipv4,
            FamilyArg::Ipv6 => Self::Ipv6,
        }
    }
}

/// `--color`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Decides for every stream of anstream.
    pub(super) fn settle(self) {
        match self {
            Self::Auto => {}
            Self::Always => anstream::ColorChoice::AlwaysAnsi.write_global(),
            Self::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}
