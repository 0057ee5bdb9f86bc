//! Flags that several commands share.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::net::Family;

/// Where the rules come from.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// Read a saved dump: iptables-save, iptables -S or -L output, whole or in parts. `-` is standard input.
    /// May be given several times.
    ///
    /// Without it, a pipe or file on standard input is read, else the rules of this node (as root).
    #[arg(short, long, value_name = "FILE", help_heading = "Where the rules come from")]
    pub(super) file: Vec<PathBuf>,
    /// Use a node recorded with this program: no cluster, no root, no file.
    #[arg(long, conflicts_with = "file", help_heading = "Where the rules come from")]
    pub(super) demo: bool,
    /// Show this family only; rules that do not tell their family are taken to be of it.
    #[arg(long, value_enum, value_name = "FAMILY", help_heading = "Where the rules come from")]
    pub(super) family: Option<FamilyArg>,
    /// Use the rules alone and ask no API server.
    #[arg(long, help_heading = "Where the rules come from")]
    pub(super) no_api: bool,
}

/// How the answer looks.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Only Services of this namespace.
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
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
    /// Decides for one stream.
    pub(super) fn choice(self, stream: &impl anstream::stream::RawStream) -> anstream::ColorChoice {
        match self {
            Self::Auto => anstream::AutoStream::choice(stream),
            Self::Always => anstream::ColorChoice::AlwaysAnsi,
            Self::Never => anstream::ColorChoice::Never,
        }
    }
}
