//! What `diff` compares: each side is a dump, this node, another one, or the first side again later.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use super::args::{DemoArg, ObjectArgs, Reads, SourceArgs, duration};
use super::diff::Args;
#[cfg(feature = "live")]
use super::node::Via;

/// A side as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Side {
    /// Saved dumps; `-` is standard input.
    Saved(Vec<PathBuf>),
    /// The rules of this node.
    Here,
    /// The rules of the node of this name.
    Node(String),
    /// The rules listed by commands in this Pod.
    #[cfg(feature = "live")]
    Pod(Via),
    /// Every node of the cluster.
    #[cfg(feature = "live")]
    Now,
    /// The first side again, so much later.
    Later(Duration),
    /// The node recorded with this program.
    Demo(DemoArg),
}

/// Both sides, ready to be read.
pub(super) struct Sides {
    pub(super) a: SourceArgs,
    pub(super) b: SourceArgs,
    /// How much later B is to be read.
    pub(super) later: Option<Duration>,
    /// Each WHAT, as it was typed.
    pub(super) what: Vec<String>,
}

impl Side {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text == "here" {
            return Ok(Self::Here);
        }
        if let Some(pause) = text.strip_prefix('+') {
            let pause = duration(pause).map_err(|why| Failure {
                what: format!("'{text}' is no time to wait: {why}"),
                hints: vec!["kube-ipt diff here +30s".to_owned()],
            })?;
            return Ok(Self::Later(pause));
        }
        let whole = Path::new(text);
        if let (Some(node), false) = (text.strip_prefix("node/"), whole.exists()) {
            return Ok(Self::Node(node.to_owned()));
        }
        #[cfg(feature = "live")]
        if let (Some(pod), false) = (text.strip_prefix("pod/"), whole.exists()) {
            let hints = vec!["kube-ipt diff before.txt pod/kube-system/kube-proxy-abcde".to_owned()];
            let bad = |why: String| Failure { what: format!("'{text}' names no Pod: {why}"), hints };
            return pod.parse().map(Self::Pod).map_err(bad);
        }
        let parts = if whole.exists() { vec![text] } else { text.split(',').collect() };
        let files: Vec<PathBuf> = parts.into_iter().filter(|part| !part.is_empty()).map(PathBuf::from).collect();
        // A variable that is not set would be taken for the rules of this node.
        if files.is_empty() {
            let what = format!("'{text}' names no side to compare: a file, -, here, node/NAME or +TIME");
            return Err(Failure { what, hints: vec!["kube-ipt diff before.txt after.txt".to_owned()] });
        }
        Ok(Self::Saved(files))
    }

    fn reads(&self) -> Reads {
        match self {
            Self::Here => Reads::Here,
            Self::Node(_) => Reads::Named,
            #[cfg(feature = "live")]
            Self::Pod(_) | Self::Now => Reads::Named,
            Self::Saved(_) | Self::Later(_) | Self::Demo(_) => Reads::Any,
        }
    }

    fn is_live(&self) -> bool {
        self.reads() != Reads::Any
    }
}

impl Sides {
    /// Understands what was typed.
    pub(super) fn of(args: &Args) -> Result<Self, Failure> {
        let words = || args.a.iter().chain(&args.b).chain(&args.what);
        if args.demo {
            let demo = |state| source(args, &Side::Demo(state), true, &[], None);
            let (a, b) = (demo(DemoArg::InSync), demo(DemoArg::Stale));
            return Ok(Self { a, b, later: None, what: words().cloned().collect() });
        }
        let [a, b] = [&args.a, &args.b].map(|side| Side::parse(side.as_deref().unwrap_or_default()));
        let (a, mut b) = (a?, b?);
        #[cfg(feature = "live")]
        if args.all_nodes {
            b = of_all_nodes(args, &a, b)?;
        }
        let later = if let Side::Later(pause) = b { Some(pause) } else { None };
        if matches!(a, Side::Later(_)) || (later.is_some() && !a.is_live()) {
            let what =
                "a time like +30s stands for the second side, and reads the first one again: it has to be a node"
                    .to_owned();
            let hints = vec!["kube-ipt diff here +30s".to_owned(), "kube-ipt diff node/NAME +30s".to_owned()];
            return Err(Failure { what, hints });
        }
        if later.is_some() {
            b = a.clone();
        }
        let live = a.is_live() || b.is_live();
        let (objects, node) = (&args.objects_a, &args.node_a);
        let of_a = source(args, &a, live, objects, node.as_ref());
        let (objects, node) = (&args.objects_b, &args.node_b);
        let of_b = source(args, &b, live, objects, node.as_ref());
        once(&of_a, &of_b)?;
        Ok(Self { a: of_a, b: of_b, later, what: args.what.clone() })
    }
}

/// The second side of a comparison of all nodes.
#[cfg(feature = "live")]
fn of_all_nodes(args: &Args, a: &Side, b: Side) -> Result<Side, Failure> {
    let now = args.b.as_deref() == Some("now") && !Path::new("now").exists();
    match (a, b) {
        (Side::Saved(_), _) if now => Ok(Side::Now),
        (Side::Saved(_), Side::Saved(files)) => Ok(Side::Saved(files)),
        _ => {
            let what =
                "--all-nodes compares snapshots of several nodes, or one with the cluster as it is now".to_owned();
            let hints = vec![
                "kube-ipt snapshot --all-nodes -o before.tar.gz    (first)".to_owned(),
                "kube-ipt diff --all-nodes before.tar.gz now".to_owned(),
            ];
            Err(Failure { what, hints })
        }
    }
}

/// Standard input can be read once.
fn once(a: &SourceArgs, b: &SourceArgs) -> Result<(), Failure> {
    let dashes = |side: &SourceArgs| {
        side.file.iter().chain(&side.objects.objects).filter(|path| path.as_os_str() == "-").count()
    };
    if dashes(a) + dashes(b) < 2 {
        return Ok(());
    }
    let what = "standard input can be read only once, and - stands for more than one thing".to_owned();
    let hints = vec![
        "kube-ipt diff before.txt -".to_owned(),
        "save the objects first, where both sides are compared with them: --objects FILE".to_owned(),
    ];
    Err(Failure { what, hints })
}

/// The flags that read one side. `live`: one of both sides is a running node.
fn source(args: &Args, side: &Side, live: bool, objects: &[PathBuf], node: Option<&String>) -> SourceArgs {
    let shared = &args.objects;
    let mut of_side = ObjectArgs {
        objects: if objects.is_empty() { shared.objects.clone() } else { objects.to_vec() },
        node: node.or(shared.node.as_ref()).cloned(),
        ..shared.clone()
    };
    // Objects of now say nothing of rules of then, unless somebody asks for them.
    of_side.saved_only = matches!(side, Side::Saved(_)) && (live || !shared.names_server());
    let file = if let Side::Saved(files) = side { files.clone() } else { Vec::new() };
    if let Side::Node(name) = side {
        of_side.node = Some(name.clone());
    }
    let demo = if let Side::Demo(state) = side { Some(*state) } else { None };
    SourceArgs {
        file,
        demo,
        #[cfg(feature = "live")]
        via: if let Side::Pod(via) = side { Some(via.clone()) } else { None },
        family: args.family,
        objects: of_side,
        reads: side.reads(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_side() {
        let saved = |files: &[&str]| Side::Saved(files.iter().map(PathBuf::from).collect());
        for (text, side) in [
            ("here", Side::Here),
            ("./here", saved(&["./here"])),
            #[cfg(feature = "live")]
            ("pod/kube-system/proxy:tool", Side::Pod("kube-system/proxy:tool".parse().expect("a Pod"))),
            ("node/worker-1", Side::Node("worker-1".to_owned())),
            ("+30s", Side::Later(Duration::from_secs(30))),
            ("-", saved(&["-"])),
            ("save.txt,save6.txt", saved(&["save.txt", "save6.txt"])),
            ("save.txt", saved(&["save.txt"])),
        ] {
            assert_eq!(Side::parse(text).expect(text), side);
        }
        assert!(Side::parse("+soon").is_err());
        #[cfg(feature = "live")]
        assert!(Side::parse("pod/proxy").is_err());
    }
}
