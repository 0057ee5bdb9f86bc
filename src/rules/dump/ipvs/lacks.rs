//! What of the node's virtual servers a listing may not hold.
//!
//! `ipvsadm -L` begins with two lines, of which `ipvsadm -L -t SERVICE` leaves the first away (`list_all` and `list_service`,
//! ipvsadm.c), and grep and tail both. `ipvsadm -S` has no such lines.

use super::{Listing, VirtualServer};

/// What a listing may lack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacks {
    /// Nothing: its first lines tell.
    #[default]
    Nothing,
    /// Nothing that its lines would tell, which are commands.
    Untold,
    /// Other virtual servers: one was asked for.
    Servers,
    /// What comes behind its last line.
    End,
    /// Any lines, as grep and tail leave it.
    Lines,
}

/// How a virtual server and its real ones are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `-A` and `-a`.
    Commands,
    /// In columns.
    Columns,
}

impl Form {
    /// How a line with a server is written.
    pub(super) fn of(line: &str) -> Self {
        if line.starts_with('-') && !line.starts_with("->") { Self::Commands } else { Self::Columns }
    }
}

/// True if a line that is not understood may be the beginning of one with a server.
pub(super) fn is_cut(line: &str) -> bool {
    let begins = ["->", "-A", "-a", "TCP", "UDP", "SCTP", "FWM"];
    begins.iter().any(|begin| line.starts_with(begin) || begin.starts_with(line))
}

/// Follows the lines of a text that may hold several listings.
#[derive(Default)]
pub(super) struct Extent {
    /// The listing whose lines come. None has begun without them.
    here: Option<Part>,
    /// The least that one of the listings lacks.
    least: Option<Lacks>,
    /// Virtual servers of which a listing may lack lines.
    doubtful: Vec<usize>,
    /// Those of which one has all.
    sure: Vec<usize>,
}

/// A listing, as far as it was read.
struct Part {
    lacks: Lacks,
    form: Form,
    /// Its first line was the line before.
    begun: bool,
    /// What its arrows point to was said, so that none was left away.
    arrows: bool,
    /// Lines are missing here if more servers come. The signature of a mail begins like what grep writes between places.
    apart: bool,
    /// Its virtual servers.
    servers: Vec<usize>,
    /// Those before which lines are missing.
    before_gaps: Vec<usize>,
}

impl Extent {
    /// `IP Virtual Server version …`
    pub(super) fn version(&mut self, servers: &[VirtualServer<'_>]) {
        self.begin(Lacks::Nothing, Form::Columns, servers).begun = true;
    }

    /// The names of the columns.
    pub(super) fn heading(&mut self, servers: &[VirtualServer<'_>]) {
        match &mut self.here {
            Some(part) if part.begun => part.begun = false,
            _ => _ = self.begin(Lacks::Servers, Form::Columns, servers),
        }
    }

    /// `-> RemoteAddress:Port`
    pub(super) fn arrows(&mut self) {
        if let Some(part) = &mut self.here {
            part.arrows = true;
        }
    }

    /// A line with a server comes.
    pub(super) fn row(&mut self, form: Form, servers: &[VirtualServer<'_>]) {
        let part = match &mut self.here {
            Some(part) if part.form == form => part,
            _ => {
                let lacks = if form == Form::Commands { Lacks::Untold } else { Lacks::Lines };
                self.begin(lacks, form, servers)
            }
        };
        part.begun = false;
        if std::mem::take(&mut part.apart) {
            part.gap();
        }
    }

    /// The line was a virtual server, which is this one.
    pub(super) fn virtual_server(&mut self, at: usize) {
        if let Some(part) = &mut self.here {
            part.servers.push(at);
        }
    }

    /// The line was a real server without its virtual one.
    pub(super) fn orphan(&mut self) {
        if let Some(part) = &mut self.here {
            part.gap();
        }
    }

    /// `--`
    pub(super) fn apart(&mut self) {
        if let Some(part) = &mut self.here {
            part.apart = true;
        }
    }

    /// The text ends inside a line.
    pub(super) fn cut(&mut self) {
        if let Some(part) = &mut self.here {
            part.lacks = part.lacks.max(Lacks::End);
        }
    }

    fn begin(&mut self, lacks: Lacks, form: Form, servers: &[VirtualServer<'_>]) -> &mut Part {
        self.end_listing(servers);
        let (servers, before_gaps) = (Vec::new(), Vec::new());
        self.here.insert(Part { lacks, form, begun: false, arrows: false, apart: false, servers, before_gaps })
    }

    /// What follows is another listing, or none of servers.
    pub(super) fn end_listing(&mut self, servers: &[VirtualServer<'_>]) {
        let Some(mut part) = self.here.take() else { return };
        let is_empty = |at: &usize| servers[*at].real.is_empty();
        // The Service `kubernetes` has an endpoint wherever there is an API server; without arrows grep may have been at work.
        if !part.arrows && part.servers.len() > 1 && part.servers.iter().all(is_empty) {
            part.lacks = Lacks::Lines;
        }
        let last = part.servers.last().copied();
        match part.lacks {
            // Lines may have been chosen by what is in them, or they are those of a place.
            Lacks::Lines if part.servers.iter().any(is_empty) => self.doubtful.append(&mut part.servers),
            Lacks::Lines => {
                self.doubtful.append(&mut part.before_gaps);
                self.doubtful.extend(last);
            }
            Lacks::End => {
                part.servers.pop();
                self.sure.append(&mut part.servers);
                self.doubtful.extend(last);
            }
            Lacks::Nothing | Lacks::Untold | Lacks::Servers => self.sure.append(&mut part.servers),
        }
        self.least = Some(self.least.map_or(part.lacks, |least| least.min(part.lacks)));
    }

    /// The end of the text.
    pub(super) fn tell(mut self, listing: &mut Listing<'_>) {
        self.end_listing(&listing.servers);
        listing.lacks = self.least.unwrap_or_default();
        self.doubtful.iter().for_each(|&at| listing.servers[at].is_doubtful = true);
        self.sure.iter().for_each(|&at| listing.servers[at].is_doubtful = false);
    }
}

impl Part {
    /// Lines are missing here.
    fn gap(&mut self) {
        self.before_gaps.extend(self.servers.last());
        self.lacks = Lacks::Lines;
    }
}

impl Listing<'_> {
    /// The text is what the command printed, from its first line to its last.
    pub fn trust(&mut self) {
        self.lacks = Lacks::Nothing;
        self.servers.iter_mut().for_each(|server| server.is_doubtful = false);
    }

    /// Takes over what another listing of the node, whose servers are to be added, tells of what may be missing.
    pub(super) fn lacks_with(&mut self, other: &Self) {
        if self.servers.is_empty() && self.lacks == Lacks::Nothing {
            self.lacks = other.lacks;
        } else if !other.servers.is_empty() {
            self.lacks = self.lacks.min(other.lacks);
        }
    }
}
