//! What must be allowed, and to whom.

use std::fmt::Write as _;

use super::quoted;
use crate::cluster::Right;

/// The ClusterRole kube-ipt needs, bound to a user, a group or a ServiceAccount.
///
/// Without flags, the ServiceAccount kube-system/kube-ipt is part of it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Bind the role to this user.
    #[arg(long, value_name = "NAME", group = "whom")]
    user: Option<String>,
    /// Bind the role to this group.
    #[arg(long, value_name = "NAME", group = "whom")]
    group: Option<String>,
    /// Bind the role to this ServiceAccount.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account, group = "whom")]
    service_account: Option<(String, String)>,
    /// Also allow what --node and --all-nodes need: to run commands in the Pods of kube-system. Kubernetes cannot limit it to
    /// commands that only list.
    #[arg(long)]
    exec: bool,
}

fn service_account(text: &str) -> Result<(String, String), String> {
    let (namespace, name) = text.split_once('/').ok_or("give it as NAMESPACE/NAME")?;
    Ok((namespace.to_owned(), name.to_owned()))
}

pub(super) fn manifest(args: &Args) -> String {
    let name = "kube-ipt";
    let exec = args.exec;
    match (&args.user, &args.group, &args.service_account) {
        (Some(user), ..) => roles(name, &subject("User", user), exec),
        (_, Some(group), _) => roles(name, &subject("Group", group), exec),
        (.., Some((namespace, account))) => roles(name, &account_subject(namespace, account), exec),
        _ => account(name, "kube-system", exec),
    }
}

/// A ServiceAccount and what it is allowed, all called `name`.
pub(super) fn with_account(name: &str, namespace: &str) -> String {
    account(name, namespace, false)
}

fn account(name: &str, namespace: &str, exec: bool) -> String {
    let account = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n  namespace: {}\n---\n",
        quoted(namespace)
    );
    account + &roles(name, &account_subject(namespace, name), exec)
}

/// The roles that are needed, called `name`, and their bindings.
fn roles(name: &str, subject: &str, exec: bool) -> String {
    let mut out = String::new();
    let _ = write!(out, "apiVersion: {GROUP}/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\nrules:\n");
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
        "---\napiVersion: {GROUP}/v1\nkind: Role\nmetadata:\n  name: {name}\n  namespace: kube-system\nrules:\n\
         # {}\n- apiGroups: [{}]\n  resources: [{}]\n  resourceNames: [\"kube-proxy\"]\n  verbs: [\"get\", \"list\", \"watch\"]\n",
        config.purpose,
        quoted(config.group),
        quoted(config.resource)
    );
    if exec {
        // A websocket is opened by GET, which newer API servers want to be allowed to create all the same.
        out.push_str(
            "# the rules of other nodes, listed by commands in their kube-proxy Pods\n- apiGroups: [\"\"]\n  \
             resources: [\"pods/exec\"]\n  verbs: [\"get\", \"create\"]\n",
        );
    }
    let _ = write!(
        out,
        "---\napiVersion: {GROUP}/v1\nkind: RoleBinding\nmetadata:\n  name: {name}\n  namespace: kube-system\n\
         roleRef:\n  apiGroup: {GROUP}\n  kind: Role\n  name: {name}\nsubjects:\n{subject}"
    );
    let _ = write!(
        out,
        "---\napiVersion: {GROUP}/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: {name}\nroleRef:\n  apiGroup: {GROUP}\n  \
         kind: ClusterRole\n  name: {name}\nsubjects:\n{subject}"
    );
    out
}

/// The API group of roles.
const GROUP: &str = "rbac.authorization.k8s.io";

fn subject(kind: &str, name: &str) -> String {
    format!("- apiGroup: {GROUP}\n  kind: {kind}\n  name: {}\n", quoted(name))
}

fn account_subject(namespace: &str, name: &str) -> String {
    format!("- kind: ServiceAccount\n  name: {}\n  namespace: {}\n", quoted(name), quoted(namespace))
}
