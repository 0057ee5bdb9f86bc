//! Finds the blocks of a listing.

use hashbrown::HashMap;

use super::words::{Words, items, next, seconds};
use super::{Base, Chain, Element, Listing, RawRule, Set, Table};

impl<'a> Listing<'a> {
    /// True if the text looks like a listing.
    pub fn is_in(text: &str) -> bool {
        let opens = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            matches!(
                (words.next(), words.next()),
                (Some("table"), Some("ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev"))
            ) && without_handle(line).ends_with('{')
        };
        text.lines().any(|line| opens(line.trim()))
    }

    /// Reads a listing.
    pub fn scan(text: &'a str) -> Self {
        let mut listing = Self::default();
        let mut places = HashMap::new();
        let mut lines = Lines { text, at: 0, number: 0, half: None };
        while let Some((number, line)) = lines.next() {
            let mut words = Words::of(line);
            match (words.next(), words.next(), words.next()) {
                (Some("table"), Some(family), Some(name)) if words.eat("{") => {
                    let table = lines.table(family, name, &mut listing.unread);
                    listing.cut_off |= table.cut_off;
                    listing.put(table, &mut places);
                }
                _ => listing.unread.push((number, line)),
            }
        }
        listing.unread.extend(lines.half);
        listing
    }

    /// Adds a table. `nft list chain` prints one chain at a time, each in a table of the same name.
    /// `places` are those of the tables, by family and name.
    fn put(&mut self, table: Table<'a>, places: &mut HashMap<(&'a str, &'a str), usize>) {
        let next = self.tables.len();
        let place = *places.entry((table.family, table.name)).or_insert(next);
        let Some(known) = self.tables.get_mut(place) else { return self.tables.push(table) };
        known.cut_off |= table.cut_off;
        for chain in table.chains {
            known.put_chain(chain);
        }
        for set in table.sets {
            known.put_set(set);
        }
    }
}

impl<'a> Table<'a> {
    fn put_chain(&mut self, chain: Chain<'a>) {
        let next = self.chains.len();
        if *self.chain_by_name.entry(chain.name).or_insert(next) == next {
            self.bases.extend(chain.base.map(|_| next));
            self.chains.push(chain);
        }
    }

    fn put_set(&mut self, set: Set<'a>) {
        let next = self.sets.len();
        if *self.set_by_name.entry(set.name).or_insert(next) == next {
            self.sets.push(set);
        }
    }
}

/// The lines of a text that have words, without handles.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: u32,
    /// The last line, where it has no end and closes nothing: what is left of it may name another chain or address.
    half: Option<(u32, &'a str)>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (u32, &'a str);

    fn next(&mut self) -> Option<(u32, &'a str)> {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
            self.at += end + 1;
            self.number += 1;
            let line = without_handle(rest[..end].trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if self.at > self.text.len() && !line.ends_with(['{', '}']) {
                self.half = Some((self.number, line));
                return None;
            }
            return Some((self.number, line));
        }
        None
    }
}

impl<'a> Lines<'a> {
    fn table(&mut self, family: &'a str, name: &'a str, unread: &mut Vec<(u32, &'a str)>) -> Table<'a> {
        let mut table = Table {
            family,
            name,
            cut_off: true,
            chains: Vec::new(),
            chain_by_name: HashMap::new(),
            bases: Vec::new(),
            sets: Vec::new(),
            set_by_name: HashMap::new(),
        };
        while let Some((number, line)) = self.next() {
            let mut words = Words::of(line);
            match (words.next(), words.next()) {
                (Some("}"), None) => {
                    table.cut_off = false;
                    break;
                }
                (Some("chain"), Some(name)) if words.eat("{") => {
                    let (chain, whole) = self.chain(name, number);
                    table.put_chain(chain);
                    if !whole {
                        break;
                    }
                }
                (Some("set" | "map"), Some(name)) if words.eat("{") => {
                    let (set, whole) = self.set(name, number, unread);
                    table.put_set(set);
                    if !whole {
                        break;
                    }
                }
                (Some("comment" | "flags"), _) => {}
                // Counters, quotas, flowtables and other objects, none of which kube-proxy has.
                (Some(_), Some(_)) if line.ends_with('{') => {
                    if !self.skip() {
                        break;
                    }
                }
                _ => unread.push((number, line)),
            }
        }
        table
    }

    /// The second value is false if the text ends inside.
    fn chain(&mut self, name: &'a str, line: u32) -> (Chain<'a>, bool) {
        let mut chain = Chain { name, line, base: None, rules: Vec::new(), cut_off: false };
        for (number, line) in self.by_ref() {
            match Words::of(line).peek() {
                Some("}") => return (chain, true),
                Some("type") if chain.rules.is_empty() => chain.base = base(line),
                Some("comment") if chain.rules.is_empty() => {}
                _ => chain.rules.push(RawRule { line: number, text: line }),
            }
        }
        chain.cut_off = true;
        (chain, false)
    }

    fn set(&mut self, name: &'a str, line: u32, unread: &mut Vec<(u32, &'a str)>) -> (Set<'a>, bool) {
        let mut set = Set { name, line, ..Set::default() };
        while let Some((number, line)) = self.next() {
            let mut words = Words::of(line);
            match words.next() {
                Some("}") => return (set, true),
                Some("type" | "typeof") => set.kind = words.rest(),
                Some("timeout") => set.timeout = words.next().and_then(seconds),
                Some("size" | "flags" | "gc-interval" | "comment" | "auto-merge" | "policy" | "counter") => {}
                Some("elements") if words.eat("=") && words.eat("{") => {
                    if !self.elements(&mut set, number, words.rest()) {
                        return (set, false);
                    }
                }
                _ => unread.push((number, line)),
            }
        }
        (set, false)
    }

    /// Reads elements from `line` on, up to the brace that closes them.
    fn elements(&mut self, set: &mut Set<'a>, number: u32, line: &'a str) -> bool {
        let (mut number, mut line) = (number, line);
        loop {
            // Elements hold no braces, but their comments may.
            let closed = line.strip_suffix('}');
            set.elements.extend(items(closed.unwrap_or(line)).map(|item| element(item, number)));
            if closed.is_some() {
                return true;
            }
            match self.next() {
                Some(next) => (number, line) = next,
                None => return false,
            }
        }
    }

    /// Passes a block of no interest.
    fn skip(&mut self) -> bool {
        let mut open = 1usize;
        for (_, line) in self.by_ref() {
            open += usize::from(line.ends_with('{'));
            open -= usize::from(line == "}" || (line.ends_with('}') && !line.contains('{')));
            if open == 0 {
                return true;
            }
        }
        false
    }
}

/// The line without the handle that `nft -a` prints.
fn without_handle(line: &str) -> &str {
    match line.rsplit_once("# handle ") {
        Some((before, handle)) if handle.bytes().all(|b| b.is_ascii_digit()) => before.trim_end(),
        _ => line,
    }
}

/// `type nat hook prerouting priority dstnat - 10; policy accept;`
fn base(line: &str) -> Option<Base<'_>> {
    let mut words = Words::of(line);
    words.next();
    let kind = words.next()?;
    let hook = if words.eat("hook") { words.next()? } else { return None };
    while words.peek().is_some_and(|word| word != "priority" && word != ";") {
        words.next();
    }
    let mut priority = 0;
    if words.eat("priority") {
        let first = words.next()?;
        priority = named_priority(first).or_else(|| first.parse().ok())?;
        if let Some(sign @ ("+" | "-")) = words.peek() {
            words.next();
            let by: i32 = words.next()?.parse().ok()?;
            priority = if sign == "-" { priority.saturating_sub(by) } else { priority.saturating_add(by) };
        }
    }
    let drops = line.contains("policy drop");
    Some(Base { kind, hook, priority, drops })
}

/// Names of priorities (nft(8), standard priority names).
fn named_priority(name: &str) -> Option<i32> {
    Some(match name {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "filter" => 0,
        "security" => 50,
        "srcnat" => 100,
        _ => return None,
    })
}

/// `10.96.236.2 . tcp . 80 comment "shop/broken" : goto reject-chain`, with a timeout or counters in between.
fn element(text: &str, line: u32) -> Element<'_> {
    let mut element = Element { line, ..Element::default() };
    let mut rest = text;
    let mut key_end = None;
    let at = |rest: &str| text.len() - rest.len();
    while let Some((word, after)) = next(rest) {
        let begin = text.len() - rest.trim_start().len();
        match word.text() {
            ":" => {
                key_end.get_or_insert(begin);
                element.data = Some(after.trim());
                break;
            }
            option @ ("comment" | "timeout" | "expires" | "counter") => {
                key_end.get_or_insert(begin);
                let Some((value, after)) = next(after) else { break };
                match option {
                    "comment" => element.comment = Some(value.text()),
                    "expires" => element.expires = seconds(value.text()),
                    _ => {}
                }
                rest = after;
                continue;
            }
            _ => {}
        }
        rest = after;
    }
    element.key = text[..key_end.unwrap_or_else(|| at(""))].trim();
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "$ nft -a list ruleset\n\
        table ip kube-proxy { # handle 3\n\
        \tcomment \"rules for kube-proxy\"\n\
        \tmap service-ips { # handle 4\n\
        \t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\
        \t\telements = { 10.96.0.1 . tcp . 443 comment \"a, {b}\" : goto service-X,\n\
        \t\t\t     10.96.0.2 . udp . 53 : drop }\n\
        \t}\n\
        \tset affinity-Y {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 3h\n\
        \t\telements = { 10.0.0.1 timeout 3h expires 2h59m55s120ms, 10.0.0.2 expires 5s }\n\t}\n\
        \tchain nat-prerouting { # handle 7\n\
        \t\ttype nat hook prerouting priority dstnat - 10; policy accept;\n\
        \t\tjump services # handle 9\n\t}\n\
        \tcounter c {\n\t\tpackets 0 bytes 0\n\t}\n\
        }\ntable inet filter {\n}\n";

    #[test]
    fn blocks_elements_and_priorities_are_read() {
        let listing = Listing::scan(SMALL);
        assert_eq!(listing.unread, [(1, "$ nft -a list ruleset")]);
        assert!(!listing.cut_off && Listing::is_in(SMALL));
        let table = &listing.tables[0];
        assert_eq!((table.family, table.name, table.size()), ("ip", "kube-proxy", 5));
        let map = table.set("service-ips").expect("the map");
        assert!(map.is_map());
        let first = Element {
            line: 6,
            key: "10.96.0.1 . tcp . 443",
            comment: Some("a, {b}"),
            data: Some("goto service-X"),
            ..Element::default()
        };
        assert_eq!(map.elements[0], first);
        assert_eq!((map.elements[1].line, map.elements[1].data), (7, Some("drop")));
        let set = table.set("affinity-Y").expect("the set");
        assert_eq!(
            (set.timeout, set.elements[0].key, set.elements[0].expires),
            (Some(10_800), "10.0.0.1", Some(10_795))
        );
        assert_eq!((set.elements[1].key, set.elements[1].expires), ("10.0.0.2", Some(5)));
        let chain = table.chain("nat-prerouting").expect("the chain");
        assert_eq!(chain.base, Some(Base { kind: "nat", hook: "prerouting", priority: -110, drops: false }));
        assert_eq!(chain.rules[0].text, "jump services");
        assert_eq!(listing.tables[1].name, "filter");
    }

    #[test]
    fn a_priority_beyond_all_others_stays_one() {
        let of = |text: &str| base(text).map(|base| base.priority);
        assert_eq!(of("type nat hook output priority srcnat + 2147483647; policy accept;"), Some(i32::MAX));
        assert_eq!(of("type nat hook output priority raw - 2147483647; policy accept;"), Some(i32::MIN));
        assert_eq!(of("type nat hook output priority 0 - -2147483648; policy accept;"), Some(i32::MAX));
    }

    #[test]
    fn a_listing_that_breaks_off_says_so() {
        for (at, _) in SMALL.match_indices('\n').skip(2).take(17) {
            let listing = Listing::scan(&SMALL[..=at]);
            assert!(listing.cut_off && listing.tables[0].cut_off, "{at}");
        }
        assert!(!Listing::is_in("-A KUBE-SERVICES -j X\n"));
    }

    #[test]
    fn chains_listed_one_by_one_are_one_table() {
        let listing =
            Listing::scan("table ip t {\n\tchain a {\n\t}\n}\ntable ip t {\n\tchain b {\n\t\taccept\n\t}\n}\n");
        assert_eq!(listing.tables.len(), 1);
        assert_eq!(listing.tables[0].chains().iter().map(|c| c.name).collect::<Vec<_>>(), ["a", "b"]);
    }
}
