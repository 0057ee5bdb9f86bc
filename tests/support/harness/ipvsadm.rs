//! What `ipvsadm` prints in either form: every line is a part of the listing or said not to be, and the same listing again
//! tells nothing new.

use std::collections::HashSet;

use kube_ipt::dump::ipvs::Listing;

pub(super) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let listing = Listing::scan(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut keys = HashSet::new();
    for server in &listing.servers {
        assert!(keys.insert(server.key), "{:?} is there twice", server.key);
        assert!(!lines[server.line as usize - 1].is_empty());
        let mut addresses = HashSet::new();
        for real in &server.real {
            assert!(addresses.insert((real.address, real.port)), "{:?} is there twice", real.address);
            assert!(!lines[real.line as usize - 1].is_empty());
        }
    }
    for (number, unread) in &listing.unread {
        assert_eq!(lines[*number as usize - 1], *unread);
    }
    let read = listing.servers.len() + listing.servers.iter().map(|server| server.real.len()).sum::<usize>();
    assert!(read + listing.entries + listing.unread.len() <= lines.len());
    let mut twice = Listing::scan(&text);
    twice.absorb(Listing::scan(&text));
    assert_eq!(twice.servers, listing.servers, "a listing that is read twice");
}
