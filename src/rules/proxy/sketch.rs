//! A service port of whatever mode, before it is followed to its endpoints.

use std::net::IpAddr;

use super::{iptables, ipvs, nftables};
use crate::dataplane::{FrontendKind, Select, ServiceName};
use crate::net::{Family, Protocol};

/// A service port as far as a survey tells it.
#[derive(Debug, Clone, Copy)]
pub enum Sketch<'s, 'd> {
    /// Of iptables mode.
    Iptables(&'s iptables::Sketch<'d>),
    /// Of nftables mode.
    Nftables(&'s nftables::Sketch<'d>),
    /// Of IPVS mode.
    Ipvs(&'s ipvs::Sketch<'d>),
}

impl<'s, 'd> Sketch<'s, 'd> {
    /// The one of iptables mode, if it is.
    pub(super) fn of_iptables(&self) -> Option<&'s iptables::Sketch<'d>> {
        if let Self::Iptables(sketch) = *self { Some(sketch) } else { None }
    }

    /// Its name, where it is known.
    pub fn name(&self) -> Option<&ServiceName> {
        match self {
            Self::Iptables(sketch) => sketch.name.as_ref(),
            Self::Nftables(sketch) => sketch.name.as_ref(),
            Self::Ipvs(sketch) => sketch.name.as_ref(),
        }
    }

    /// Its protocol.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Iptables(sketch) => sketch.protocol,
            Self::Nftables(sketch) => sketch.protocol,
            Self::Ipvs(sketch) => sketch.protocol,
        }
    }

    /// Its family.
    pub fn family(&self) -> Family {
        match self {
            Self::Iptables(sketch) => sketch.family,
            Self::Nftables(sketch) => sketch.family,
            Self::Ipvs(sketch) => sketch.family,
        }
    }

    /// The first cluster IP that leads to it.
    pub fn cluster_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Iptables(sketch) => sketch.cluster_ip(),
            Self::Nftables(sketch) => sketch.cluster_ip(),
            Self::Ipvs(sketch) => sketch.cluster_ip(),
        }
    }

    /// True if `select` names it by name, frontend or service chain.
    pub fn is_named_by(&self, select: &Select) -> bool {
        match self {
            Self::Iptables(sketch) => sketch.is_named_by(select),
            Self::Nftables(sketch) => sketch.is_named_by(select),
            Self::Ipvs(sketch) => sketch.is_named_by(select),
        }
    }

    /// True if `select` names one of its frontends of this kind.
    pub fn has_frontend(&self, select: &Select, kind: FrontendKind) -> bool {
        match self {
            Self::Iptables(sketch) => sketch.has_frontend(select, kind),
            Self::Nftables(sketch) => sketch.has_frontend(select, kind),
            Self::Ipvs(sketch) => sketch.has_frontend(select, kind),
        }
    }
}
