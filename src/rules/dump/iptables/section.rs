//! The index of one table: its chains by name, and where in the text the rules of each stand.

use memchr::memchr;

use super::listing::Columns;
use super::lost::Lacks;
use super::names::{Backend, TableName};
use super::names_index::{NameIndex, Named};
use super::raw_rule::RawRule;
use super::scan::{Hints, Provenance};
use crate::net::Family;
use crate::order::Order as _;

/// A kube-proxy dump has a chain for so many bytes, rather more than fewer.
const BYTES_PER_CHAIN: usize = 290;

/// One table of one family.
#[derive(Debug)]
pub struct Section<'a> {
    /// The table, where the text says it or its built-in chains tell it.
    pub table: Option<TableName>,
    /// The family, where a header or an address tells it.
    pub family: Option<Family>,
    /// The family of an endpoint in a comment, which tells it where no address does.
    pub(super) commented: Option<Family>,
    /// The kernel interface, where a header tells it.
    pub backend: Option<Backend>,
    /// True if every chain of the table can be expected here: built-in chains are declared and, in the form of
    /// `iptables-save`, COMMIT was reached.
    pub complete: bool,
    /// True if `table` is told by a `*table` line or by the command that printed it, not guessed from built-in chains.
    pub table_told: bool,
    /// True if the text ends inside this table, so that a chain without rules may have lost them.
    pub cut_off: bool,
    /// How it came here, which tells whether lines can be missing.
    pub(super) provenance: Provenance,
    /// What else is missing of it.
    pub(super) lacks: Lacks,
    /// Number of rules.
    pub rules: u32,
    text: &'a str,
    pub(super) chains: Vec<Chain<'a>>,
    by_name: NameIndex,
    policies: Vec<(u32, &'a str)>,
    /// Further runs of chains whose rules do not stand together: in the order of the text while the text is scanned,
    /// then by chain.
    scattered: Vec<(u32, Run)>,
    /// The chain looked up last.
    near: usize,
    /// The chain of the last rule, and that of the rules before those.
    pub(super) last_ruled: [Option<u32>; 2],
}

/// A chain: its name, and where its rules are.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The name.
    pub name: &'a str,
    pub(super) id: u32,
    first: Option<Run>,
    /// True if the dump declares the chain (`-N`, `:NAME`, `Chain NAME (…)`), which it does even for an empty one.
    pub declared: bool,
    /// True if the declaration shows that the rules are here: what leaves `-N KUBE-SVC-X` in a text leaves every line with that
    /// name, but rows of `-L` do not have it, so that only the names of their columns tell that nobody chose among them.
    pub(super) entire: bool,
    /// It has runs in the section's `scattered`.
    scattered: bool,
}

/// Lines in a row that are rules of one chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) start: u32,
    pub(super) line: u32,
    pub(super) count: u32,
    pub(super) form: Form,
}

/// How a rule is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `-A CHAIN …`, with or without `[packets:bytes]` in front.
    Append,
    /// A row of `iptables -L`.
    Listing(Columns),
}

impl<'a> Section<'a> {
    /// The chain called `name`.
    pub fn chain(&self, name: &str) -> Option<&Chain<'a>> {
        self.chain_id(name).map(|id| &self.chains[id])
    }

    /// The position of the chain called `name` in [`chains`](Self::chains).
    pub fn chain_id(&self, name: &str) -> Option<usize> {
        self.by_name.find(&self.chains, name)
    }

    /// All chains, in the order the text first names them.
    pub fn chains(&self) -> &[Chain<'a>] {
        &self.chains
    }

    /// The positions of the chains with these names, in their order: several are found in the time that one takes.
    pub fn chain_ids(&self, names: &[&str]) -> Vec<Option<usize>> {
        self.by_name.find_several(&self.chains, names, |id| self.name_at_rules(&self.chains[id]))
    }

    /// The name of a chain as its first rule has it: whoever wants it together with the rules need not wait for memory twice,
    /// as declarations stand megabytes away from them.
    pub fn name_at_rules(&self, chain: &Chain<'a>) -> &'a str {
        let rule = chain.first.filter(|run| run.form == Form::Append).map(|run| &self.text[run.start as usize..]);
        rule.and_then(|rule| rule.strip_prefix("-A ")?.get(..chain.name.len())).unwrap_or(chain.name)
    }

    /// The policy of a built-in chain.
    pub fn policy(&self, chain: &str) -> Option<&'a str> {
        let id = self.chain_id(chain)?;
        self.policies.iter().find(|(of, _)| *of as usize == id).map(|(_, policy)| *policy)
    }

    /// The rules of a chain in their order.
    pub fn rules_of(&self, chain: &Chain<'a>) -> impl Iterator<Item = RawRule<'a>> + use<'a> {
        let more: Vec<Run> = self.more_runs(chain).iter().map(|(_, run)| *run).collect();
        Rules { text: self.text, run: chain.first, more: more.into_iter() }
    }

    /// How many rules a chain has.
    pub fn rules_in(&self, chain: &Chain<'_>) -> usize {
        let more = self.more_runs(chain).iter().map(|(_, run)| run);
        chain.first.iter().chain(more).map(|run| run.count as usize).sum()
    }

    /// All but the first of the runs of a chain.
    fn more_runs(&self, chain: &Chain<'_>) -> &[(u32, Run)] {
        if chain.scattered { self.scattered_runs(chain.id) } else { &[] }
    }

    fn scattered_runs(&self, chain: u32) -> &[(u32, Run)] {
        let start = self.scattered.partition_point(|(id, _)| *id < chain);
        let end = self.scattered.partition_point(|(id, _)| *id <= chain);
        &self.scattered[start..end]
    }

    pub(super) fn new(text: &'a str, hints: Hints) -> Self {
        Self {
            table: hints.table,
            table_told: hints.table.is_some() && !hints.table_guessed,
            family: hints.family,
            commented: None,
            backend: hints.backend,
            complete: false,
            cut_off: false,
            provenance: hints.provenance,
            lacks: Lacks::Nothing,
            rules: 0,
            text,
            chains: Vec::new(),
            by_name: NameIndex::default(),
            policies: Vec::new(),
            scattered: Vec::new(),
            near: 0,
            last_ruled: [None, None],
        }
    }

    /// Makes room for the chains a text of so many bytes may declare.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.chains.reserve(bytes / BYTES_PER_CHAIN);
    }

    /// Prepares for looking up many chains.
    pub fn expect_many_lookups(&self) {
        self.by_name.hash_all(&self.chains);
    }

    /// Declares a chain, by a line that shows its rules to be here (`entire`) or by one that does not; false if it was declared
    /// before, and then nothing is changed.
    pub(super) fn declare(&mut self, name: &'a str, policy: Option<&'a str>, entire: bool) -> bool {
        let id = self.find_or_add(name);
        let again = self.chains[id].declared;
        if again && (policy.is_none() || self.policies.iter().any(|(of, _)| *of == self.chains[id].id)) {
            return false;
        }
        self.chains[id].declared = true;
        self.chains[id].entire = entire;
        if let Some(policy) = policy {
            self.policies.push((self.chains[id].id, policy));
        }
        true
    }

    pub(super) fn intern(&mut self, name: &'a str) -> usize {
        // iptables prints rules in the order of the declarations, so the next chain is nearly always close behind.
        let ahead = self.chains[self.near..].iter().take(3).position(|c| c.name == name);
        if let Some(steps) = ahead {
            self.near += steps;
            return self.near;
        }
        self.find_or_add(name)
    }

    fn find_or_add(&mut self, name: &'a str) -> usize {
        self.near = self.by_name.find_or_add(&self.chains, name).unwrap_or_else(|| {
            let id = u32::try_from(self.chains.len()).unwrap_or(u32::MAX);
            let chain = Chain { name, id, first: None, declared: false, entire: false, scattered: false };
            self.chains.push(chain);
            self.chains.len() - 1
        });
        self.near
    }

    pub(super) fn add(&mut self, chain: usize, run: Run) {
        let chain = &mut self.chains[chain];
        self.last_ruled = [Some(chain.id), self.last_ruled[0]];
        if chain.first.is_none() {
            chain.first = Some(run);
        } else {
            chain.scattered = true;
            self.scattered.push((chain.id, run));
        }
    }

    /// One more rule right behind the last one of the chain.
    pub(super) fn extend_last(&mut self, chain: usize) {
        if let Some(run) = self.last_run(chain) {
            run.count += 1;
        }
    }

    /// The last run of the chain that has the last rule, while the text is scanned.
    fn last_run(&mut self, chain: usize) -> Option<&mut Run> {
        let chain = &mut self.chains[chain];
        if chain.scattered { self.scattered.last_mut().map(|(_, run)| run) } else { chain.first.as_mut() }
    }

    /// The last rule, if it stands in this line, the last of the text, which begins at `start`.
    pub(super) fn rule_in_last_line(&mut self, line: u32, start: usize) -> Option<RawRule<'a>> {
        let text = self.text[start..].trim_ascii_end();
        let run = self.last_run(self.last_ruled[0]? as usize)?;
        (run.line + run.count == line + 1).then_some(RawRule { line, text, form: run.form })
    }

    /// Forgets the last rule.
    pub(super) fn take_last_back(&mut self) {
        let [Some(last), before] = self.last_ruled else { return };
        let Some(run) = self.last_run(last as usize) else { return };
        run.count -= 1;
        let is_over = run.count == 0;
        self.rules -= 1;
        if is_over {
            let chain = &mut self.chains[last as usize];
            if chain.scattered {
                self.scattered.pop();
                chain.scattered = self.scattered.iter().any(|(id, _)| *id == last);
            } else {
                chain.first = None;
            }
            // One that nothing declared has but the beginning of its name.
            if !chain.declared {
                self.last_ruled = [before, None];
            }
        }
    }

    /// What the built-in chains tell once all lines are seen.
    pub(super) fn finish(&mut self) {
        let built_ins: Vec<&str> = self.policies.iter().map(|(id, _)| self.chains[*id as usize].name).collect();
        if !self.table_told {
            self.table = TableName::of_built_ins(&built_ins).or(self.table);
        }
        self.family = self.family.or(self.commented);
        let is_part = self.cut_off || self.lacks > Lacks::Nothing;
        self.complete = (self.complete || !built_ins.is_empty()) && !is_part;
        self.scattered.order_by_key(|(id, _)| *id);
    }

    /// True if no chain has rules in both and no built-in chain is declared in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let policies = || other.policies.iter().map(|(id, _)| other.chains[*id as usize].name);
        policies().all(|name| self.policy(name).is_none())
            && other.chains.iter().filter(|c| !c.is_empty()).all(|c| self.chain(c.name).is_none_or(Chain::is_empty))
    }

    /// True if no chain is declared here: the rules alone do not tell where another table begins.
    pub(super) fn is_bare(&self) -> bool {
        self.chains.first().is_none_or(|first| !first.declared)
    }

    /// Takes over the chains of `other`, a part of the same table in the same text.
    pub fn absorb(&mut self, other: &Section<'a>) {
        for chain in &other.chains {
            let id = self.find_or_add(chain.name);
            if chain.declared && !self.table_told && self.has_rules_of_undeclared(chain.name) {
                self.lacks = Lacks::Order;
            }
            self.chains[id].declared |= chain.declared;
            self.chains[id].entire |= chain.entire;
            for run in chain.first.iter().chain(other.scattered_runs(chain.id).iter().map(|(_, run)| run)) {
                self.add(id, *run);
            }
        }
        for (id, policy) in &other.policies {
            let name = other.chains[*id as usize].name;
            let own = self.find_or_add(name);
            self.policies.push((self.chains[own].id, policy));
        }
        self.rules += other.rules;
        self.family = self.family.or(other.family);
        self.backend = self.backend.or(other.backend);
        self.cut_off |= other.cut_off;
        self.lacks = self.lacks.max(other.lacks);
        self.last_ruled = other.last_ruled.map(|id| {
            let own = self.find_or_add(other.chains[id? as usize].name);
            Some(self.chains[own].id)
        });
        self.finish();
    }
}

/// The rules of a chain.
struct Rules<'a> {
    text: &'a str,
    /// What is left of the run that is being gone through.
    run: Option<Run>,
    more: std::vec::IntoIter<Run>,
}

impl<'a> Iterator for Rules<'a> {
    type Item = RawRule<'a>;

    fn next(&mut self) -> Option<RawRule<'a>> {
        let run = self.run.as_mut()?;
        let rest = &self.text[run.start as usize..];
        let end = memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
        let rule = RawRule { line: run.line, text: rest[..end].trim_ascii_end(), form: run.form };
        run.count -= 1;
        if run.count == 0 {
            self.run = self.more.next();
        } else {
            run.line += 1;
            // There is another rule, so that the line has an end, and a text is not longer than a place can tell.
            run.start += u32::try_from(end + 1).unwrap_or(u32::MAX);
        }
        Some(rule)
    }
}

impl<'a> Named<'a> for Chain<'a> {
    fn name(&self) -> &'a str {
        self.name
    }
}

impl Chain<'_> {
    /// Number of rules in the first place where rules of the chain stand, which nearly always is the only one.
    pub fn rules_at_first(&self) -> usize {
        self.first.map_or(0, |run| run.count as usize)
    }

    /// How its first rule is written.
    pub(super) fn form(&self) -> Option<Form> {
        self.first.map(|run| run.form)
    }

    /// True if the chain has no rules.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}
