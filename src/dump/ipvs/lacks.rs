//! What of the node's virtual servers a listing may not hold.
//!
//! `ipvsadm -L` begins with two lines, of which `ipvsadm -L -t SERVICE` leaves the first away (`list_all` and `list_service`,
//! ipvsadm.c), and grep and tail both. `ipvsadm -S` has no such lines.

use super::{Listing, VirtualServer};

/// What a listing may lack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacks {
    /// Nothing that can be told.
    #[default]
    Nothing,
    /// Other virtual servers: one was asked for.
    Servers,
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

/// Follows the lines of a text that may hold several listings.
#[derive(Default)]
pub(super) struct Extent {
    /// What the listing lacks whose lines come, and how it is written. None has begun without them.
    here: Option<(Lacks, Form)>,
    /// The line before was the first one of a whole listing.
    begun: bool,
    /// The least that one of the listings before lacks.
    before: Option<Lacks>,
    /// Virtual servers that the lines of a place end with: of the last, real servers may have been cut off.
    last: Vec<usize>,
    /// Lines are missing here if more servers come. The signature of a mail begins like what grep writes between places.
    apart: bool,
}

impl Extent {
    /// `IP Virtual Server version …`; `open` is the virtual server before.
    pub(super) fn version(&mut self, open: Option<usize>) {
        self.begin(Lacks::Nothing, Form::Columns, open);
        self.begun = true;
    }

    /// The names of the columns.
    pub(super) fn heading(&mut self, open: Option<usize>) {
        if !std::mem::take(&mut self.begun) {
            self.begin(Lacks::Servers, Form::Columns, open);
        }
    }

    /// A line of a server.
    pub(super) fn row(&mut self, form: Form, open: Option<usize>) {
        self.begun = false;
        if std::mem::take(&mut self.apart) {
            self.gap(None);
        }
        if self.here.is_none_or(|(_, known)| known != form) {
            self.begin(if form == Form::Commands { Lacks::Nothing } else { Lacks::Lines }, form, open);
        }
    }

    /// `--`
    pub(super) fn apart(&mut self, open: Option<usize>) {
        self.last.extend(open);
        self.apart = true;
    }

    /// Lines are missing here.
    pub(super) fn gap(&mut self, open: Option<usize>) {
        self.last.extend(open);
        if let Some((lacks, _)) = &mut self.here {
            *lacks = Lacks::Lines;
        }
    }

    /// A real server without its virtual one, in a line of this form.
    pub(super) fn orphan(&mut self, form: Form) {
        self.row(form, None);
        self.gap(None);
    }

    fn begin(&mut self, lacks: Lacks, form: Form, open: Option<usize>) {
        self.end_listing(open);
        self.here = Some((lacks, form));
    }

    /// What follows is no listing of servers; `open` is the virtual server before.
    pub(super) fn end_listing(&mut self, open: Option<usize>) {
        self.last.extend(open);
        (self.begun, self.apart) = (false, false);
        if let Some((lacks, _)) = self.here.take() {
            self.before = Some(self.before.map_or(lacks, |before| before.min(lacks)));
        }
    }

    /// The end of the text, whose last virtual server is `open`.
    pub(super) fn tell(mut self, open: Option<usize>, listing: &mut Listing<'_>) {
        self.end_listing(open);
        listing.lacks = self.before.unwrap_or_default();
        let empty = |server: &&VirtualServer<'_>| server.real.is_empty();
        // The Service `kubernetes` has an endpoint wherever there is an API server.
        if listing.servers.len() > 1 && listing.servers.iter().all(|server| empty(&server)) {
            listing.lacks = Lacks::Lines;
        }
        if listing.lacks < Lacks::Lines {
            return;
        }
        // Lines may have been chosen by what is in them, or they are those of a place.
        if listing.servers.iter().any(|server| empty(&server)) {
            listing.servers.iter_mut().for_each(|server| server.is_doubtful = true);
        }
        for at in self.last {
            listing.servers[at].is_doubtful = true;
        }
    }
}

impl Listing<'_> {
    /// Takes over what another listing of the node, whose servers are to be added, tells of what may be missing.
    pub(super) fn lacks_with(&mut self, other: &Self) {
        if self.servers.is_empty() && self.lacks == Lacks::Nothing {
            self.lacks = other.lacks;
        } else if !other.servers.is_empty() {
            self.lacks = self.lacks.min(other.lacks);
        }
    }
}
