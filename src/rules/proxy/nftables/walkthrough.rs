//! The rules of one service, with what they do.

use super::survey::{Sketch, Survey};
use crate::dataplane::{Pool, PoolWalkthrough, RuleNote, ServicePort, Walkthrough};
use crate::dump::nft::{Data, Element, Key, RawRule, Rule, Selector, Statement, Table, Verdict};

impl Survey<'_> {
    /// The rules that make `port` of `sketch`, step by step.
    #[inline]
    pub fn walkthrough(&self, sketch: &Sketch<'_>, port: &ServicePort) -> Walkthrough {
        let Some(family) = self.in_family(sketch.family) else { return Walkthrough::default() };
        let table = family.ruleset.table;
        Walkthrough {
            frontends: sketch
                .frontends
                .iter()
                .map(|f| {
                    f.elements
                        .iter()
                        .map(|e| of_element(e))
                        .chain(f.elements.iter().flat_map(|e| between(table, e)))
                        .collect()
                })
                .collect(),
            pools: port.pools.iter().map(|pool| of_pool(table, pool)).collect(),
        }
    }
}

#[inline]
fn of_element(element: &Element<'_>) -> RuleNote {
    let data = element.data.unwrap_or_default();
    let text = format!("{} : {data}", element.key);
    let meaning = match Verdict::parse(data) {
        Some(Verdict::Goto("reject-chain") | Verdict::Jump("reject-chain")) => {
            "connections are refused: there is no endpoint".to_owned()
        }
        Some(Verdict::Drop) => "connections are dropped".to_owned(),
        Some(Verdict::Goto(chain) | Verdict::Jump(chain)) if chain.starts_with("firewall-") => {
            "only some networks may connect".to_owned()
        }
        _ => "connections to this address and port".to_owned(),
    };
    RuleNote { line: element.line, text, meaning }
}

/// Rules between a map and a pool: those of external and firewall chains.
#[inline]
fn between(table: &Table<'_>, element: &Element<'_>) -> Vec<RuleNote> {
    let Some(Verdict::Goto(name) | Verdict::Jump(name)) = element.data.and_then(Verdict::parse) else {
        return Vec::new();
    };
    if !(name.starts_with("external-") || name.starts_with("firewall-")) {
        return Vec::new();
    }
    table.chain(name).into_iter().flat_map(|chain| &chain.rules).map(note).collect()
}

#[inline]
fn of_pool(table: &Table<'_>, pool: &Pool) -> PoolWalkthrough {
    let of_endpoints: Vec<u32> = pool.endpoints.iter().flat_map(|e| &e.rules).map(|rule| rule.line).collect();
    let chain = table.chain(&pool.chain);
    let head = chain.into_iter().flat_map(|chain| &chain.rules).filter(|raw| {
        let shared = pool.endpoints.len() != 1 || !of_endpoints.contains(&raw.line);
        shared && !is_of_affinity(raw)
    });
    let own = |chain: &str| {
        let apart = chain != pool.chain;
        let own = table.chain(chain).filter(|_| apart).into_iter().flat_map(|chain| &chain.rules);
        own.map(note).collect::<Vec<_>>()
    };
    PoolWalkthrough {
        head: head.map(note).collect(),
        endpoints: pool.endpoints.iter().map(|e| own(&e.chain)).collect(),
    }
}

#[inline]
fn is_of_affinity(raw: &RawRule<'_>) -> bool {
    let by_set = |s: &Statement<'_>| matches!(s, Statement::Match { key, value: Data::Named(_), .. } if *key == [Selector::SourceAddress]);
    Rule::parse(raw.text).statements.iter().any(by_set)
}

#[inline]
fn note(raw: &RawRule<'_>) -> RuleNote {
    RuleNote { line: raw.line, text: raw.text.to_owned(), meaning: meaning(&Rule::parse(raw.text)) }
}

#[inline]
fn meaning(rule: &Rule<'_>) -> String {
    let limited = rule.statements.iter().find_map(|s| match s {
        Statement::Match { key, not, value, .. } if *key == [Selector::SourceAddress] => {
            let what = match value {
                Data::One(text) => (*text).to_owned(),
                Data::Many(all) => all.join(", "),
                _ => "that are remembered".to_owned(),
            };
            Some(if *not { format!("clients outside {what}") } else { format!("clients in {what}") })
        }
        Statement::Match { key, .. } if *key == [Selector::SourceType] => Some("the node itself".to_owned()),
        _ => None,
    });
    let who = limited.unwrap_or_else(|| "all".to_owned());
    for statement in &rule.statements {
        return match statement {
            Statement::VerdictMap(Key::Number(modulus, _), _)
            | Statement::Dnat(Data::Mapped(Key::Number(modulus, _), _)) => {
                format!("one of {modulus} by chance, each alike")
            }
            Statement::Dnat(_) => "connections go there".to_owned(),
            Statement::Update(_) => "the client is remembered, so that it comes back here".to_owned(),
            Statement::Set { field: Selector::Mark, .. } | Statement::Verdict(Verdict::Jump("mark-for-masquerade")) => {
                format!("{who}: masqueraded")
            }
            Statement::Verdict(Verdict::Drop) => format!("{who}: dropped"),
            Statement::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => format!("{who}: on to {chain}"),
            Statement::Reject => "connections are refused".to_owned(),
            _ => continue,
        };
    }
    String::new()
}
