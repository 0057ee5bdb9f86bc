//! The API server of the cluster this runs in, asked as the ServiceAccount of its Pod.

use kube::Config;
use kube::config::InClusterError;

use super::trouble::innermost;
use crate::cluster::problem::Trouble;

/// Where a kubelet mounts what a ServiceAccount is known by.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What has it mounted.
const MOUNT: &str =
    "automountServiceAccountToken: true in the Pod, or its ServiceAccount (then start it again); or --kubeconfig FILE";

/// What the Pod was given.
pub(super) fn configuration() -> Result<Config, Trouble> {
    Config::incluster_env().map_err(|error| {
        let why = innermost(&error);
        let lost = |file: &str| Trouble::OfPod(format!("cannot read {MOUNTED}/{file}: {why}"), MOUNT);
        match error {
            InClusterError::ReadDefaultNamespace(_) => lost("namespace"),
            InClusterError::ReadCertificateBundle(_) | InClusterError::ParseCertificates(_) => lost("ca.crt"),
            _ => {
                let what = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no address";
                Trouble::OfPod(format!("{what}: {why}"), "--kubeconfig FILE")
            }
        }
    })
}
