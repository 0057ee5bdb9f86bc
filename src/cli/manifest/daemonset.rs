//! kube-ipt on every node: what runs there, as whom, and with which rights.

use super::{quoted, rbac};
use crate::order::Order as _;

/// A DaemonSet that checks every node, again and again, with the rights it needs.
///
/// Each Pod leaves metrics for node_exporter's textfile collector and prints one line of JSON for each change.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image: kube-ipt, and the programs that list rules (iptables, nft, ipset, ipvsadm).
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Where it runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "kube-system")]
    namespace: String,
    /// The folder on the node that node_exporter reads; it must belong to root.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/node_exporter/textfile_collector", value_parser = folder)]
    textfile_dir: String,
    /// How often rules are read (30s, 5m).
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    interval: String,
    /// Where the API server is without a Service: a check of Services should not need one.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = host)]
    api_server: Option<(String, u16)>,
    /// No node has rules of iptables-legacy, which alone needs NET_RAW and the lock.
    #[arg(long)]
    no_legacy: bool,
}

fn folder(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("give it from the root: /…".to_owned()) }
}

fn interval(text: &str) -> Result<String, String> {
    crate::cli::args::interval(text).map(|_| text.to_owned())
}

/// `host`, `host:port`, `[ip6]`, `[ip6]:port`; 443 without port.
fn host(text: &str) -> Result<(String, u16), String> {
    const FORMS: &str = "give it as HOST, HOST:PORT or [IP6]:PORT";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(FORMS)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = if port.is_empty() { Some(443) } else { port.strip_prefix(':').and_then(|port| port.parse().ok()) };
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
    port.filter(|_| is_name).map(|port| (host.to_owned(), port)).ok_or_else(|| FORMS.to_owned())
}

pub(super) fn manifest(args: &Args) -> String {
    // Apart from those of `manifest rbac`, which may be bound to somebody else.
    let rights = rbac::with_account("kube-ipt-node", &args.namespace);
    let (capabilities, lock_mount, lock) =
        if args.no_legacy { (ADMIN, "", "") } else { (ADMIN_AND_RAW, LOCK_MOUNT, LOCK) };
    let template = include_str!("daemonset.yaml");
    let filled = [
        ("{namespace}", quoted(&args.namespace)),
        ("{image}", quoted(&args.image)),
        ("{watch}", quoted(&format!("--watch={}", args.interval))),
        ("{api}", args.api_server.as_ref().map(api).unwrap_or_default()),
        ("{capabilities}", capabilities.to_owned()),
        ("{lock_mount}", lock_mount.to_owned()),
        ("{lock}", lock.to_owned()),
        ("{folder}", quoted(&args.textfile_dir)),
    ];
    // Each once and from the left, so that nothing is put into what was given.
    let mut out = rights + "---\n";
    let mut rest = template;
    for (mark, text) in &filled_in_order(template, &filled) {
        let (before, after) = rest.split_once(mark).unwrap_or((rest, ""));
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out + rest
}

/// The marks as they come in the template.
fn filled_in_order<'f>(template: &str, filled: &'f [(&'f str, String)]) -> Vec<(&'f str, &'f str)> {
    let mut places: Vec<(usize, &str, &str)> = filled
        .iter()
        .flat_map(|(mark, text)| template.match_indices(mark).map(move |(at, _)| (at, *mark, text.as_str())))
        .collect();
    places.order();
    places.into_iter().map(|(_, mark, text)| (mark, text)).collect()
}

/// Of kernel 6.1 and iptables 1.8.9, nft 1.0.6, ipset 7.17: nft, iptables-nft and ipset list with NET_ADMIN alone,
/// iptables-legacy opens a raw socket too. As another user than root all but iptables-legacy work with it, but Kubernetes
/// gives capabilities to root only.
const ADMIN: &str = "[\"NET_ADMIN\"]";
const ADMIN_AND_RAW: &str = "[\"NET_ADMIN\", \"NET_RAW\"]";

/// iptables-legacy takes the lock even to list, and cannot make the file where the root is read-only.
const LOCK_MOUNT: &str = "
        - name: xtables-lock
          mountPath: /run/xtables.lock";
const LOCK: &str = "
      - name: xtables-lock
        hostPath:
          path: /run/xtables.lock
          type: FileOrCreate";

/// What a Pod reads to find the API server.
fn api((host, port): &(String, u16)) -> String {
    format!(
        "\n        - name: KUBERNETES_SERVICE_HOST\n          value: {}\n        - name: KUBERNETES_SERVICE_PORT\n          value: {}",
        quoted(host),
        quoted(&port.to_string())
    )
}
