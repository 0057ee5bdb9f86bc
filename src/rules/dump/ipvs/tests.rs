//! Every form of ipvsadm's listings, recorded and broken.

use super::*;

/// A recorded listing by folder and form.
macro_rules! recorded {
    ($folder:literal, $form:literal) => {
        include_str!(concat!("../../../../fixtures/nodes/ipvs/", $folder, "/ipvsadm-", $form, ".txt"))
    };
}

/// Of each recorded node: name, `-Sn`, `-Ln`, `-Ln --stats`.
macro_rules! nodes {
    ($($folder:literal),*) => {
        [$(($folder, recorded!($folder, "S-n"), recorded!($folder, "L-n"), recorded!($folder, "L-n-stats"))),*]
    };
}

const NODES: [(&str, &str, &str, &str); 7] =
    nodes!["node2", "node2-wrr", "node2-lc", "stale-endpoint", "graceful-termination", "leftover", "leftover-iptables"];
const EXTRAS: &str = include_str!("../../../../fixtures/nodes/ipvs/ipvsadm-syntax-extras.txt");

fn place(text: &str) -> (IpAddr, u16) {
    let (address, port) = crate::net::split_host_port(text).expect("an address");
    (address, port.expect("a port"))
}

fn key(protocol: Protocol, text: &str) -> Key {
    let (address, port) = place(text);
    Key::Address { protocol, address, port }
}

fn tcp(text: &str) -> Key {
    key(Protocol::Tcp, text)
}

fn get<'a, 'b>(listing: &'b Listing<'a>, key: Key) -> &'b VirtualServer<'a> {
    listing.servers.iter().find(|server| server.key == key).expect("the virtual server")
}

/// The section of the extras under `--- title`, read as a text of its own.
fn section(title: &str) -> &'static str {
    let mut sections = EXTRAS.split("--- ").skip(1);
    sections.find_map(|section| section.strip_prefix(title)?.strip_prefix('\n')).expect("the section")
}

/// Everything a text says but the line numbers of servers.
fn unnumbered(text: &str) -> Listing<'_> {
    let mut listing = Listing::scan(text);
    for server in &mut listing.servers {
        server.line = 0;
        server.real.iter_mut().for_each(|real| real.line = 0);
    }
    listing
}

#[test]
fn both_forms_of_recorded_nodes_hold_the_same() {
    for (node, saved, listed, stats) in NODES {
        let (saved, mut listed, stats) = (unnumbered(saved), unnumbered(listed), unnumbered(stats));
        assert_eq!(
            (saved.unread.as_slice(), listed.unread.as_slice(), stats.unread.as_slice()),
            (&[][..], &[][..], &[][..])
        );
        let places = |listing: &Listing<'_>| -> Vec<_> {
            let of = |server: &VirtualServer<'_>| {
                server.real.iter().map(|real| (real.address, real.port)).collect::<Vec<_>>()
            };
            listing.servers.iter().map(|server| (server.key, of(server))).collect()
        };
        assert_eq!(places(&stats), places(&saved), "{node}");
        assert!(
            stats.servers.iter().all(|server| server.scheduler.is_none() && server.connections.is_some()),
            "{node}"
        );
        for real in listed.servers.iter_mut().flat_map(|server| &mut server.real) {
            assert!(real.active.take().is_some() && real.inactive.take().is_some(), "{node}");
        }
        assert_eq!(listed.servers, saved.servers, "{node}");
        assert!(saved.servers.iter().all(|server| server.scheduler.is_some()), "{node}");
        assert!(saved.servers.iter().flat_map(|server| &server.real).all(|real| real.weight.is_some()), "{node}");
    }
}

#[test]
fn a_recorded_node_in_numbers() {
    let (_, saved, listed, stats) = NODES[4];
    for text in [saved, listed, stats] {
        assert!(Listing::are_in(text));
    }
    let mut listing = Listing::scan(saved);
    assert_eq!(listing.servers.len(), 37);
    let sctp = key(Protocol::Sctp, "10.96.72.33:36412");
    assert_eq!(get(&listing, sctp).real.len(), 4);
    assert_eq!(get(&listing, tcp("[fd00:96::1bfb]:80")).real[0].port, 8080);
    assert_eq!(get(&listing, tcp("10.96.231.50:80")).persistent, Some(600));
    assert_eq!(get(&listing, tcp("10.96.121.115:80")).real, []);
    listing.absorb(Listing::scan(listed));
    listing.absorb(Listing::scan(stats));
    let server = get(&listing, tcp("10.96.101.105:80"));
    assert_eq!((server.scheduler, server.connections), (Some("rr"), Some(13)));
    let draining = server.real.iter().find(|real| (real.address, real.port) == place("10.244.3.2:80"));
    let draining = draining.expect("the draining endpoint");
    assert_eq!((draining.weight, draining.active, draining.inactive), (Some(0), Some(1), Some(3)));
    assert_eq!((draining.forward, draining.connections), (Some(Forward::Masquerade), Some(4)));
}

#[test]
fn every_syntax_to_be_read_back() {
    let listing = Listing::scan(section("-Sn"));
    assert_eq!((listing.unread.as_slice(), listing.servers.len(), listing.entries), (&[][..], 8, 0));
    let web = get(&listing, tcp("198.18.0.1:80"));
    assert_eq!((web.line, web.scheduler, web.persistent, web.one_packet), (1, Some("rr"), Some(300), false));
    let real = |line, text, forward, weight| RealServer {
        forward: Some(forward),
        weight: Some(weight),
        ..RealServer::new(line, place(text))
    };
    let expected = [
        real(2, "198.18.9.1:80", Forward::Route, 3),
        real(3, "198.18.9.2:80", Forward::Tunnel, 70000),
        real(4, "198.18.9.3:80", Forward::Masquerade, 0),
    ];
    assert_eq!(web.real, expected);
    assert_eq!(get(&listing, tcp("198.18.0.3:0")).persistent, Some(360));
    assert!(get(&listing, key(Protocol::Udp, "198.18.0.2:53")).one_packet);
    let hashed = get(&listing, tcp("[2001:db8::1]:443"));
    assert_eq!((hashed.scheduler, hashed.flags.as_slice()), (Some("sh"), &["sh-fallback", "sh-port"][..]));
    assert_eq!(hashed.real, [real(8, "[2001:db8::9]:8443", Forward::Masquerade, 1)]);
    assert_eq!(get(&listing, tcp("[2001:db8::2]:443")).persistent, Some(10800));
    assert_eq!(get(&listing, tcp("[2001:db8::3]:443")).persistent, Some(360));
    let marked = get(&listing, Key::Mark { mark: 7, family: Family::Ipv4 });
    assert_eq!(marked.real, [real(12, "198.18.9.4:0", Forward::Masquerade, 1)]);
    assert_eq!(get(&listing, Key::Mark { mark: 8, family: Family::Ipv6 }).scheduler, Some("wlc"));
}

#[test]
fn columns_say_what_is_to_be_read_back() {
    let (saved, listed) = (unnumbered(section("-Sn")), unnumbered(section("-Ln")));
    for server in &saved.servers {
        let mut twin = get(&listed, server.key).clone();
        for real in &mut twin.real {
            assert_eq!((real.active.take(), real.inactive.take()), (Some(0), Some(0)));
        }
        // The lines of grep around the first listing tell nothing of the second.
        twin.is_doubtful = false;
        assert_eq!(&twin, server);
    }
    assert_eq!(listed.servers.len(), 12);
    assert_eq!(listed.unread, [(9, "--"), (14, "--")]);
}

#[test]
fn names_of_ports_are_resolved() {
    let named = Listing::scan(section("-S"));
    assert_eq!((named.unread.as_slice(), named.servers.len()), (&[][..], 45));
    assert_eq!(get(&named, tcp("198.18.0.1:80")).persistent, Some(300));
    assert_eq!(get(&named, tcp("10.96.4.7:5432")).scheduler, Some("rr"));
    assert_eq!(get(&named, tcp("[fd00:96::5198]:53")).scheduler, Some("rr"));
    let unknown = Listing::scan("-A -t 10.0.0.1:nonesuch -s rr\n");
    assert_eq!(unknown.unread, [(1, "-A -t 10.0.0.1:nonesuch -s rr")]);
}

#[test]
fn numbers_mean_what_the_heading_says() {
    let listing = Listing::scan(section("-Ln --thresholds"));
    let real = get(&listing, tcp("198.18.0.1:80")).real[2];
    assert_eq!((real.forward, real.weight, real.active, real.inactive), (None, None, Some(0), Some(0)));
    assert_eq!(get(&listing, tcp("198.18.0.1:80")).scheduler, Some("rr"));

    let lines = "TCP  10.0.0.1:80   12   1   1   9   9\n  -> 10.1.0.1:80   12   1   1   9   9\n\
                 FWM  8 IPv6   123456K   1   1   9   2M\n  -> [fd00::1]:80   123456K   1   1   9   2M\n";
    let count = |heading: &str| {
        let text = format!("Prot LocalAddress:Port {heading}\n  -> RemoteAddress:Port\n{lines}");
        let listing = Listing::scan(&text);
        assert_eq!((listing.unread.as_slice(), listing.servers.len()), (&[][..], 2), "{heading}");
        let counts = listing.servers.iter().map(|server| (server.connections, server.real[0].connections));
        counts.collect::<Vec<_>>()
    };
    assert_eq!(count("Conns   InPkts  OutPkts  InBytes OutBytes"), [(Some(12), Some(12)), (None, None)]);
    assert_eq!(count("CPS    InPPS   OutPPS    InBPS   OutBPS"), [(None, None), (None, None)]);
    assert_eq!(count(""), [(None, None), (None, None)]);

    let held = "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  -> RemoteAddress:Port\n\
                TCP  10.0.0.1:80 rr persistent 300\n  -> 10.1.0.1:80   3   4   5   6\n";
    let real = Listing::scan(held).servers[0].real[0];
    assert_eq!((real.weight, real.active, real.inactive, real.connections), (Some(3), Some(5), Some(6), None));

    let tunnels =
        "TCP  10.0.0.1:80 rr\n  -> 10.1.0.1:80   Tunnel  gue:6080:nocsum  3   5   6\n  -> 127.0.0.1:80 Local 1 0 0\n";
    let real = &Listing::scan(tunnels).servers[0].real;
    assert_eq!((real[0].forward, real[0].weight), (Some(Forward::Tunnel), Some(3)));
    assert_eq!(real[1].forward, Some(Forward::Local));
}

#[test]
fn connections_are_no_servers() {
    let text = "IPVS connection entries\npro expire state       source             virtual            destination\n\
                TCP 09:55  ASSURED     10.96.231.50:0     10.96.231.50:80    10.244.3.9:8080\n\
                TCP 14:57  ESTABLISHED 10.244.1.1:41122   10.96.0.1:443      10.200.0.1:6443\n\
                IP  00:12  NONE        10.244.1.1:0       0.0.0.7:0          10.244.3.9:0\n";
    assert!(Listing::are_in(text));
    let listing = Listing::scan(text);
    assert_eq!((listing.entries, listing.servers.len(), listing.unread.as_slice()), (3, 0, &[][..]));
}

#[test]
fn prompts_and_foreign_line_ends_are_no_hindrance() {
    let text = "root@node2:~# ipvsadm -Ln\r\n  IP Virtual Server version 1.2.1 (size=4096)\r\n\r\n\
                Prot LocalAddress:Port Scheduler Flags\r\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\r\n\
                \tTCP  10.0.0.1:80 rr ops\r\n  -> 10.1.0.1:80 Masq 1 0 0 \r\nroot@node2:~# ipvsadm -Sn\r\n-A -t 10.0.0.1:80 -s rr -o\r\n\
                -a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\r\n";
    assert!(Listing::are_in(text));
    let listing = Listing::scan(text);
    assert_eq!(listing.unread, []);
    let [server] = listing.servers.as_slice() else { panic!("one virtual server: {listing:?}") };
    assert_eq!((server.line, server.one_packet, server.real.len(), server.real[0].line), (6, true, 1, 7));
}

#[test]
fn listings_complete_each_other() {
    let mut listing = Listing::scan("-A -t 10.0.0.1:80 -s wrr -p\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 2\nwhat\n");
    let stats = "Prot LocalAddress:Port Conns   InPkts  OutPkts  InBytes OutBytes\nTCP  10.0.0.1:80 7 1 1 1 1\n\
                 -> 10.1.0.1:80 5 1 1 1 1\n-> 10.1.0.2:80 2 1 1 1 1\nUDP  10.0.0.1:80 0 0 0 0 0\n";
    listing.absorb(Listing::scan(stats));
    listing.absorb(Listing::scan("-A -t 10.0.0.1:80 -s rr -o\n-A -u 10.0.0.1:80 -s sh -b sh-port\n"));
    assert_eq!(listing.unread, [(3, "what")]);
    let [web, other] = listing.servers.as_slice() else { panic!("two virtual servers: {listing:?}") };
    assert_eq!((web.line, web.scheduler, web.persistent, web.one_packet), (1, Some("wrr"), Some(360), false));
    assert_eq!(web.connections, Some(7));
    let counted: Vec<_> = web.real.iter().map(|real| (real.line, real.weight, real.connections)).collect();
    assert_eq!(counted, [(2, Some(2), Some(5)), (4, None, Some(2))]);
    assert_eq!((other.line, other.scheduler, other.flags.as_slice()), (5, Some("sh"), &["sh-port"][..]));
}

#[test]
fn broken_lines_are_kept_as_unread() {
    for line in [
        "-A -t 10.0.0.1 -s rr",
        "-A -t 10.0.0.1:65536 -s rr",
        "-A -t 10.0.0.1:80 -s",
        "-A -t 10.0.0.1:80 -s rr -p 9999999999",
        "-A -t 10.0.0.1:80 -s rr --nonesuch",
        "-A -t 10.0.0.1:80 -r 10.1.0.1:80",
        "-A -f x -s rr",
        "-A KUBE-SERVICES -j ACCEPT",
        "-A -s rr",
        "-a -t 10.0.0.9:80 -r 10.1.0.1:80 -m -w 1",
        "-a -t 10.0.0.2:80 -m -w 1",
        "-a -t 10.0.0.2:80 -r 10.1.0.1:80 -m -w -1",
        "-> 10.1.0.1:80 Masq 1 0",
        "-> 10.1.0.1:80 Magic 1 0 0",
        "-> 10.1.0.1:80",
        "-> nginx:80 Masq 1 0 0",
        "TCP  10.0.0.1:80",
        "TCP  10.0.0.1:80 rr persistent",
        "TCP  10.0.0.1:80 rr what",
        "TCP  10.0.0.1:80 1 x",
        "TCP",
        "FWM  -1 rr",
        "ipvsadm: command not found",
    ] {
        let text = format!("-A -t 10.0.0.2:80 -s rr\n{line}\n-> 10.1.0.5:80 Masq 1 0 0\n");
        let listing = Listing::scan(&text);
        assert_eq!(listing.unread.first(), Some(&(2, line)));
        assert_eq!(listing.servers.len(), 1, "{line}");
    }
    let lost = Listing::scan("TCP  10.0.0.1:80 rr what\n-> 10.1.0.5:80 Masq 1 0 0\n");
    assert_eq!(lost.unread.len(), 2);
}

#[test]
fn a_listing_is_told_by_lines_of_its_own() {
    for text in [
        "IP Virtual Server version 1.2.1 (size=4096)\n",
        "$ ipvsadm -Sn\n-A -t 10.0.0.2:80 -s rr\n",
        "-a -f 7 -r 10.1.0.1:0 -m -w 1\n",
        "  -> 10.1.0.1:80  Masq  1  0  0\n",
    ] {
        assert!(Listing::are_in(text), "{text}");
    }
    for text in [
        "",
        "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -j ACCEPT\n",
        "-A INPUT -s 10.0.0.1/32 -j DROP\n",
        "create NAMED hash:net\nadd NAMED 10.0.0.0/8\n",
        "TCP  10.0.0.1:80 open\n-> 10.1.0.1:80 2 3\n",
        "ipvsadm: command not found\n",
    ] {
        assert!(!Listing::are_in(text), "{text}");
    }
}

#[test]
fn a_part_of_a_listing_is_told_by_what_is_around_its_servers() {
    let heading = "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";
    let version = "IP Virtual Server version 1.2.1 (size=4096)\n";
    let first = "TCP  10.96.0.1:443 rr\n  -> 10.200.0.1:6443              Masq    1      0          0\n";
    let second = "TCP  10.96.0.9:80 rr\n  -> 10.244.1.2:8080              Masq    1      0          0\n";
    let commands = "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.200.0.1:6443 -m -w 1\n";
    let of = |parts: &[&str]| {
        let text = parts.concat();
        let listing = Listing::scan(&text);
        let doubtful: Vec<bool> = listing.servers.iter().map(|server| server.is_doubtful).collect();
        (listing.lacks, doubtful)
    };
    assert_eq!(of(&[version, heading, first, second]), (Lacks::Nothing, vec![false, false]));
    assert_eq!(of(&[heading, first]), (Lacks::Servers, vec![false]));
    assert_eq!(of(&[heading, first, "$ ipvsadm -Ln -t 10.96.0.9:80\n", heading, second]).0, Lacks::Servers);
    assert_eq!(of(&[first, second]), (Lacks::Lines, vec![false, true]));
    assert_eq!(of(&[version, heading, first, "--\n", second]), (Lacks::Lines, vec![true, true]));
    // One without real servers may be there because nothing but addresses was wanted.
    assert_eq!(of(&[first, "TCP  10.96.0.3:80 rr\n", second]), (Lacks::Lines, vec![true, true, true]));
    let empty = "TCP  10.96.0.1:443 rr\nTCP  10.96.0.9:80 rr\n";
    assert_eq!(of(&[version, "Prot LocalAddress:Port Scheduler Flags\n", empty]).0, Lacks::Lines);
    assert_eq!(of(&[version, heading, empty]), (Lacks::Nothing, vec![false, false]));
    // Each of two listings by itself.
    assert_eq!(
        of(&[heading, first, "$ ipvsadm -Ln | grep -A1 10.96.0.9\n", empty]),
        (Lacks::Servers, vec![false, true])
    );
    assert_eq!(of(&[commands]), (Lacks::Untold, vec![false]));
    assert_eq!(of(&["-a -t 10.96.0.8:80 -r 10.244.1.2:80 -m -w 1\n", commands]), (Lacks::Lines, vec![true]));
    // What a mail ends with is no gap, and people forget the end of the last line.
    assert_eq!(of(&[version, heading, first, second, "--\nPlatform team\n"]), (Lacks::Nothing, vec![false, false]));
    assert_eq!(of(&["\u{feff}", version, heading, first, "  "]), (Lacks::Nothing, vec![false]));
    assert_eq!(of(&[version, heading, first.trim_end()]), (Lacks::Nothing, vec![false]));
    assert_eq!(of(&[commands, "--\n", "-a -t 10.96.0.1:443 -r 10.200.0.2:6443 -m -w 1\n"]).0, Lacks::Lines);
    assert_eq!(of(&[version, heading, first, "root@node2:~# "]), (Lacks::Nothing, vec![false]));
    assert_eq!(of(&[version, heading.trim_end()]), (Lacks::Nothing, vec![]));
    assert_eq!(of(&[version, heading, first, "TCP  10.96.0.9:80 r"]), (Lacks::End, vec![false, true]));
    assert_eq!(of(&[version, heading, first, "  -> 10.2"]), (Lacks::End, vec![true]));
    // A whole one beside it knows all; what the text ends within is not believed.
    assert_eq!(of(&[first, version, heading, first, second]), (Lacks::Nothing, vec![false, false]));
    assert_eq!(of(&[commands.trim_end()]), (Lacks::Untold, vec![false]));
    let mut alone = Listing::scan("-A -t 10.96.0.1:443 -s rr\n-A -t 10.96.0.9:80 -s rr\n");
    assert_eq!((alone.lacks, alone.servers[1].is_doubtful), (Lacks::Lines, true));
    alone.trust();
    assert_eq!((alone.lacks, alone.servers[1].is_doubtful), (Lacks::Nothing, false));
    let cut = Listing::scan(&commands[..commands.len() - " -m -w 1\n".len()]);
    assert_eq!((cut.servers[0].real.len(), cut.unread.len(), cut.lacks), (0, 1, Lacks::End));
    for (one, other) in
        [(first.to_owned(), version.to_owned() + heading + first), (String::new(), heading.to_owned() + first)]
    {
        let mut both = Listing::scan(&one);
        both.absorb(Listing::scan(&other));
        assert_eq!((both.lacks, both.servers[0].is_doubtful), (Listing::scan(&other).lacks, false));
    }
}
