//! The API server of the cluster this runs in, asked as the ServiceAccount of its Pod.

use kube::Config;
use kube::config::InClusterError;

use super::trouble::innermost;
use crate::cluster::problem::Trouble;

/// Where a kubelet mounts what a ServiceAccount is known by.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What the Pod was given.
pub(super) fn configuration() -> Result<Config, Trouble> {
    Config::incluster_env().map_err(|error| match error {
        InClusterError::ReadDefaultNamespace(_) => lost("namespace", &error),
        InClusterError::ReadCertificateBundle(_) | InClusterError::ParseCertificates(_) => lost("ca.crt", &error),
        other => Trouble::Configuration(format!(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no API server: {}",
            innermost(&other)
        )),
    })
}

fn lost(file: &str, error: &InClusterError) -> Trouble {
    Trouble::Unmounted(format!("cannot read {MOUNTED}/{file}: {}", innermost(error)))
}
