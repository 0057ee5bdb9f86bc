//! A recorded node with its cluster, to be broken on purpose and checked.

use std::fs;

use serde_json::{Value, json};

use crate::run::{Run, kube_ipt, node, nodes};

/// Rules and objects of a node.
#[derive(Clone)]
pub(crate) struct Node {
    /// One or several texts of rules.
    pub(crate) dumps: Vec<String>,
    /// A list of objects.
    pub(crate) objects: Value,
    /// Its name.
    pub(crate) name: &'static str,
}

/// A node of the kitchen sink, of which nothing is wrong.
pub(crate) fn clean(name: &'static str) -> Node {
    let text = fs::read_to_string(node(&format!("kitchen-sink/{name}/save.txt"))).expect("the recording is there");
    let objects = fs::read_to_string(nodes().join("kitchen-sink/cluster.json")).expect("the recording is there");
    Node { dumps: vec![text], objects: serde_json::from_str(&objects).expect("JSON"), name }
}

/// A node in IPVS mode, of which nothing is wrong.
pub(crate) fn of_ipvs() -> Node {
    let read = |file: &str| fs::read_to_string(node(&format!("ipvs/node2/{file}"))).expect("the recording is there");
    let dumps = ["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt", "ip-addr-show.txt"].map(read).to_vec();
    Node { dumps, objects: serde_json::from_str(&read("cluster.json")).expect("JSON"), name: "node2" }
}

/// A node in nftables mode, of which nothing is wrong.
pub(crate) fn of_nftables() -> Node {
    of_nftables_in("node2", "node2")
}

/// The node in nftables mode that was recorded in this folder.
pub(crate) fn of_nftables_in(folder: &str, name: &'static str) -> Node {
    let read =
        |file: &str| fs::read_to_string(node(&format!("nftables/{folder}/{file}"))).expect("the recording is there");
    let objects = serde_json::from_str(&read("cluster.json")).expect("JSON");
    Node { dumps: vec![read("ruleset.nft")], objects, name }
}

/// The rules that refuse clients of edge/gw-lb from outside, of which no endpoint is on the node.
pub(crate) const NO_LOCAL: &str = "-A KUBE-EXTERNAL-SERVICES -d 203.0.113.77/32 -p tcp -m comment --comment \"edge/gw-lb:https has no local endpoints\" -m tcp --dport 443 -j DROP\n\
    -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment \"edge/gw-lb:https has no local endpoints\" -m addrtype --dst-type LOCAL -m tcp --dport 32485 -j DROP\n";

/// A node of the kitchen sink with none of the endpoints of edge/gw-lb, a load balancer under Local policy.
pub(crate) fn without_local_endpoints(name: &'static str) -> Node {
    let node = clean(name).without(|line| line.contains("KUBE-SVL-PQWBAX2FD7GV5BFO"));
    node.before("-A KUBE-EXTERNAL-SERVICES ", NO_LOCAL).elsewhere("edge/gw-lb")
}

impl Node {
    /// The same with the lines changed: each is kept, replaced or, with `None`, taken out.
    pub(crate) fn lines(mut self, change: impl Fn(&str) -> Option<String>) -> Self {
        for dump in &mut self.dumps {
            let lines: Vec<String> = dump.lines().filter_map(&change).collect();
            *dump = lines.join("\n") + "\n";
        }
        self
    }

    /// Without the lines that `is_gone` names.
    pub(crate) fn without(self, is_gone: impl Fn(&str) -> bool) -> Self {
        self.lines(|line| (!is_gone(line)).then(|| line.to_owned()))
    }

    /// With lines before the first one that begins with `start`.
    pub(crate) fn before(mut self, start: &str, lines: &str) -> Self {
        let dump = &mut self.dumps[0];
        let at = dump.find(&format!("\n{start}")).expect("such a line is there") + 1;
        dump.insert_str(at, lines);
        self
    }

    /// With lines at the end of the nat table, which is the last one.
    pub(crate) fn append(mut self, lines: &str) -> Self {
        let at = self.dumps[0].rfind("COMMIT\n").expect("a whole save");
        self.dumps[0].insert_str(at, lines);
        self
    }

    /// The object of this kind and `namespace/name`; for slices the name of the Service.
    pub(crate) fn object(&mut self, kind: &str, name: &str) -> &mut Value {
        let items = self.objects["items"].as_array_mut().expect("a list");
        items.iter_mut().find(|item| item["kind"] == kind && is_called(item, name)).expect("such an object is there")
    }

    /// Without the objects of this kind and name.
    pub(crate) fn without_object(mut self, kind: &str, name: &str) -> Self {
        let items = self.objects["items"].as_array_mut().expect("a list");
        let before = items.len();
        items.retain(|item| item["kind"] != kind || !is_called(item, name));
        assert!(items.len() < before, "there is no {kind} {name}");
        self
    }

    /// With one more object.
    pub(crate) fn with_object(mut self, object: Value) -> Self {
        self.objects["items"].as_array_mut().expect("a list").push(object);
        self
    }

    /// With an object changed.
    pub(crate) fn change(mut self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        change(self.object(kind, name));
        self
    }

    /// With the endpoints of a Service that are on it on node3 instead.
    pub(crate) fn elsewhere(self, service: &str) -> Self {
        let name = self.name;
        self.change("EndpointSlice", service, |slice| {
            for endpoint in slice["endpoints"].as_array_mut().expect("endpoints") {
                if endpoint["nodeName"] == name {
                    endpoint["nodeName"] = json!("node3");
                }
            }
        })
    }

    /// `kube-ipt ARGS` on it, with its objects.
    pub(crate) fn run(&self, args: &str) -> Checked {
        self.run_with(args, true)
    }

    /// The same without the objects.
    pub(crate) fn run_alone(&self, args: &str) -> Checked {
        self.run_with(args, false)
    }

    /// `kube-ipt check` on the rules alone.
    pub(crate) fn alone(&self) -> Vec<Value> {
        self.run_alone("check --no-api").findings()
    }

    /// What `kube-ipt check` finds.
    pub(crate) fn check(&self) -> Vec<Value> {
        self.run("check").findings()
    }

    fn run_with(&self, args: &str, objects: bool) -> Checked {
        let room = tempfile::tempdir().expect("a folder");
        let mut run = kube_ipt(args);
        for (n, dump) in self.dumps.iter().enumerate() {
            let path = room.path().join(format!("dump{n}"));
            fs::write(&path, dump).expect("writable");
            run = run.arg("-f").arg(path);
        }
        if objects {
            let path = room.path().join("objects.json");
            fs::write(&path, self.objects.to_string()).expect("writable");
            run = run.arg("--objects").arg(path).arg("--node").arg(self.name);
        }
        Checked { run, _room: room }
    }
}

fn is_called(item: &Value, name: &str) -> bool {
    let metadata = &item["metadata"];
    let own = if item["kind"] == "EndpointSlice" {
        &metadata["labels"]["kubernetes.io/service-name"]
    } else {
        &metadata["name"]
    };
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    format!("{namespace}/{}", own.as_str().unwrap_or_default()) == name
}

/// A run on files that are there until it has ended.
pub(crate) struct Checked {
    run: Run,
    _room: tempfile::TempDir,
}

impl Checked {
    /// Stdout as JSON, whatever the exit status.
    pub(crate) fn json(self) -> Value {
        let (stdout, stderr, status) = self.run.arg("-o").arg("json").output();
        assert!(matches!(status, Some(0 | 1)), "{stderr}");
        serde_json::from_str(&stdout).expect("stdout is JSON")
    }

    /// The services it answers with.
    pub(crate) fn listed(self) -> Vec<Value> {
        crate::run::listed(self.run)
    }

    /// Stdout, stderr and exit status.
    pub(crate) fn output(self) -> (String, String, Option<i32>) {
        self.run.output()
    }

    fn findings(self) -> Vec<Value> {
        self.json()["findings"].as_array().expect("findings").clone()
    }
}

/// `code severity service where reason` of every finding, to be compared; absent parts are left out.
pub(crate) fn told(findings: &[Value]) -> Vec<String> {
    let one = |finding: &Value| {
        let word = |key: &str| finding[key].as_str().map(str::to_owned);
        let place = word("address").or(word("frontend")).or(word("chain"));
        let parts = [word("code"), word("severity"), word("service"), place, word("reason")];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    findings.iter().map(one).collect()
}

/// What `check` finds, chains that nothing leads to any more left out.
pub(crate) fn found(node: &Node) -> Vec<String> {
    told(&node.check()).into_iter().filter(|found| !found.starts_with("orphan-chain")).collect()
}

/// An EndpointSlice of a Service with one ready endpoint.
pub(crate) fn slice(namespace: &str, service: &str, port: &Value, address: &str, node: &str) -> Value {
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {
            "namespace": namespace, "name": format!("{service}-more"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": [{"addresses": [address], "nodeName": node, "conditions": {"ready": true}}],
        "ports": [port],
    })
}
