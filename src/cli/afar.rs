//! Whether rules are read on another node, and the connection that takes.

use super::Failure;
#[cfg(feature = "live")]
use super::args::Reads;
use super::args::SourceArgs;
#[cfg(feature = "live")]
use super::node;
#[cfg(feature = "live")]
use crate::cluster::{Api, Server};
#[cfg(feature = "live")]
use crate::net::Family;
#[cfg(feature = "live")]
use crate::source::{self, Bundle, Machine, Tables};

/// What is known of where rules are read before they are.
#[derive(Debug, Default)]
pub(super) struct Afar {
    /// The flags name another node than this host.
    #[cfg(feature = "live")]
    another: bool,
    /// Nothing on standard input can be a dump instead.
    certain: bool,
    /// The connection, where it is certain; objects are asked for by the same one.
    #[cfg(feature = "live")]
    pub(super) server: Option<Server>,
}

impl Afar {
    /// Reads the flags, and connects where rules can only come from afar.
    #[cfg(feature = "live")]
    pub(super) fn of(args: &SourceArgs) -> Result<Self, Failure> {
        let given = !args.file.is_empty() || args.demo.is_some() || args.reads == Reads::Here;
        let another = args.via.is_some() || (!given && args.objects.node.as_deref().is_some_and(|node| !is_here(node)));
        let settled = args.via.is_some() || args.reads == Reads::Named;
        let certain = another && (settled || !source::stdin_offers_text());
        let server = certain.then(|| node::connected(args)).transpose()?;
        Ok(Self { another, certain, server })
    }

    /// Without an API server nothing is afar.
    #[cfg(not(feature = "live"))]
    #[expect(clippy::unnecessary_wraps, reason = "as with an API server")]
    pub(super) fn of(_: &SourceArgs) -> Result<Self, Failure> {
        Ok(Self::default())
    }

    /// True if no dump on standard input can be meant.
    pub(super) fn is_certain(&self) -> bool {
        self.certain
    }

    /// The rules of the node that was named, listed there; `None` if it is this host.
    #[cfg(feature = "live")]
    pub(super) fn listed(
        &self,
        args: &SourceArgs,
        family: Option<Family>,
        tables: Tables,
    ) -> Result<Option<Bundle>, Failure> {
        if !self.another {
            return Ok(None);
        }
        let server = self.server.clone().map_or_else(|| node::connected(args), Ok)?;
        let api = Api::new(server);
        let place = node::place(&api, args)?;
        node::listed(&api, place, family, tables).map(Some)
    }
}

/// True if `node` is this host by its name, or by what $NODE_NAME says.
#[cfg(feature = "live")]
fn is_here(node: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_lowercase();
    // A short name may stand for a long one; two long ones are of different clusters.
    let alike = |own: &str| {
        own.eq_ignore_ascii_case(node) || (!(own.contains('.') && node.contains('.')) && first(own) == first(node))
    };
    Machine::this().name.is_none_or(|own| alike(&own)) || super::viewpoint::node_name().is_some_and(|name| name == node)
}
