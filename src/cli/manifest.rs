//! `kube-ipt manifest`: what to apply to a cluster.

use std::fmt::Write as _;

use super::{Answer, Outcome};
use crate::cluster::Right;

/// Print what to apply to a cluster; nothing is applied.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Rbac(Rbac),
}

/// The ClusterRole kube-ipt needs, bound to a user, a group or a ServiceAccount.
///
/// Without flags, the ServiceAccount kube-system/kube-ipt is part of it.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Rbac {
    /// Bind the role to this user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Bind the role to this group.
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Bind the role to this ServiceAccount.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    service_account: Option<(String, String)>,
}

fn service_account(text: &str) -> Result<(String, String), String> {
    let (namespace, name) = text.split_once('/').ok_or("give it as NAMESPACE/NAME")?;
    Ok((namespace.to_owned(), name.to_owned()))
}

pub(super) fn run(args: &Args) -> Outcome {
    let What::Rbac(rbac) = &args.what;
    Outcome { answer: Answer::Text(manifest(rbac)), ..Outcome::default() }
}

fn manifest(args: &Rbac) -> String {
    let mut out = String::new();
    let own = ("kube-system".to_owned(), "kube-ipt".to_owned());
    let subject = match (&args.user, &args.group, &args.service_account) {
        (Some(user), ..) => subject("User", user),
        (_, Some(group), _) => subject("Group", group),
        (.., Some(account)) => account_subject(account),
        _ => {
            out.push_str(
                "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: kube-ipt\n  namespace: kube-system\n---\n",
            );
            account_subject(&own)
        }
    };
    out.push_str("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: kube-ipt\nrules:\n");
    for right in Right::ALL {
        let _ = write!(
            out,
            "# {}\n- apiGroups: [{}]\n  resources: [{}]\n  verbs: [{}]\n",
            right.purpose,
            quoted(right.group),
            quoted(right.resource),
            Right::VERBS.map(quoted).join(", ")
        );
    }
    let config = Right::CONFIG;
    let _ = write!(
        out,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: kube-ipt\n  namespace: kube-system\nrules:\n\
         # {}\n- apiGroups: [{}]\n  resources: [{}]\n  resourceNames: [\"kube-proxy\"]\n  verbs: [\"get\"]\n\
         ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: kube-ipt\n  namespace: kube-system\n\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: kube-ipt\nsubjects:\n{subject}",
        config.purpose,
        quoted(config.group),
        quoted(config.resource)
    );
    let _ = write!(
        out,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: kube-ipt\nroleRef:\n  apiGroup: \
         rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: kube-ipt\nsubjects:\n{subject}"
    );
    out
}

fn subject(kind: &str, name: &str) -> String {
    format!("- apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {}\n", quoted(name))
}

fn account_subject((namespace, name): &(String, String)) -> String {
    format!("- kind: ServiceAccount\n  name: {}\n  namespace: {}\n", quoted(name), quoted(namespace))
}

/// A string of YAML, in the form JSON and YAML share.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
