//! The commands, and what each says of itself.

use super::{check, completions, diff, explain, list, man, manifest, show, snapshot, trace};

/// Which one is run. Its words stand here and not at its flags: flags are made of the command that is run only, which is half of
/// the time that reading a command line takes.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    /// Show Services with their frontends, endpoints and shares.
    ///
    /// WHAT is anything you have in hand: a Service (nginx, shop/cart, shop/cart:http; svc/nginx or svc nginx, as kubectl has
    /// it), a cluster IP or a pod's address (10.96.0.10, 10.96.0.10:53/udp), a node port (:30080), a pod (shop/cart-0,
    /// pod/cart-0), a chain (KUBE-SVC-…), or a /regular expression/ on namespace/name:port. Without WHAT, all Services.
    Show(show::Args),
    /// List service ports, one a row.
    List(list::Args),
    /// Find what is wrong: rules that differ from what the cluster wants, and rules that cannot work.
    ///
    /// WHAT narrows it to some Services, in any form `show` takes. The exit status is 1 if there are findings at or above
    /// --fail-on.
    Check(check::Args),
    /// Follow one new connection through the node's rules: where it can end up, how likely, and by which rules.
    ///
    /// FROM is the client: an address (10.244.1.7), a pod (shop/cart-0), `pod` for any pod of this node, `node`, node/NAME,
    /// `localhost`, or `external` for someone outside every network the rules name.
    ///
    /// TO is where it connects to: a Service (nginx, shop/cart:http, service/shop/cart:80), an address (10.96.0.10:53/udp), a
    /// node port (:30080), pod/ns/name:port, node:port or localhost:port.
    ///
    /// What a dump does not tell (the interface, the contents of ipsets) is followed both ways, and said.
    Trace(trace::Args),
    /// Compare two nodes, two dumps, or one node at two times: services, frontends, endpoints and shares gained, lost or changed.
    ///
    /// Not lines: the order of rules, counters, comments and the language of the rules are no difference. What one side does not
    /// tell (no objects, no filter table, lines missing) is no difference either and is said. Services alone are compared: what
    /// is wrong with the rules as a whole, such as hooks and marks, is what `check` tells of each side. The exit status is 1 if
    /// something is different.
    ///
    /// A dump is compared with the objects that are given for it; without, no API server is asked about it. A running node is
    /// compared with the objects of its API server, as elsewhere.
    Diff(diff::Args),
    /// Keep the rules of a node and the objects of its cluster in a file, which every command reads with -f.
    ///
    /// Of objects, only what decides about Service traffic is kept: no Secret, no environment, no annotation. Rules are kept in
    /// every mode there is, whichever decides. What was saved before (-f, --objects) can be put into one file too.
    Snapshot(snapshot::Args),
    /// Explain findings: what each means, why it happens, how to confirm it, what to do.
    ///
    /// CODE is a code or name as `check` prints it (KI101, stale-endpoint). Without CODE, all of them are listed.
    Explain(explain::Args),
    /// Print what to apply to a cluster; nothing is applied.
    Manifest(manifest::Args),
    /// Print a script that completes command lines in a shell, with the names of Services and Nodes.
    ///
    /// bash: `source <(kube-ipt completions bash)` in ~/.bashrc. zsh: `source <(kube-ipt completions zsh)` in ~/.zshrc, after
    /// compinit, or as the file _kube-ipt in a folder of $fpath. fish: `kube-ipt completions fish | source` in
    /// ~/.config/fish/config.fish. For `kubectl ipt`, save that of kubectl as kubectl_complete-ipt in a folder of $PATH and make it
    /// executable (kubectl 1.26 and later).
    ///
    /// Names come from the dump or objects on the line, else from the API server, within a second or not at all. A credential
    /// plugin is run only if the kubeconfig says that it never asks (interactiveMode: Never).
    Completions(completions::Args),
    /// Print a manual page: `kube-ipt man show | man -l -`.
    Man(man::Args),
}
