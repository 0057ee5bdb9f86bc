//! A list of an API server: all objects of a kind, or those a selector chooses. It is read page by page, or watched.

use std::time::Duration;

use hashbrown::HashSet;

use super::live::Server;
use super::problem::Trouble;
use super::saved::{BadObjects, Pieces, Saved};
use super::words::words;

/// Objects in one page of a list, as kubectl asks for them.
const PAGE: usize = 500;

/// Any state of the server's cache will do.
pub(super) const CACHED: (&str, &str) = ("resourceVersion", "0");

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    path: String,
    selector: Option<(&'static str, String)>,
}

impl List {
    /// All objects of a kind, in the cluster or in a namespace.
    pub(super) fn all(group: &str, namespace: Option<&str>, plural: &str) -> Self {
        let path = match namespace {
            Some(namespace) => format!("{group}/namespaces/{}/{plural}", segment(namespace)),
            None => format!("{group}/{plural}"),
        };
        Self { path, selector: None }
    }

    /// Those of this name.
    pub(super) fn named(self, name: &str) -> Self {
        Self { selector: Some(("fieldSelector", format!("metadata.name={name}"))), ..self }
    }

    /// Those that belong to the Service of this name.
    pub(super) fn of_service(self, name: &str) -> Self {
        Self { selector: Some(("labelSelector", format!("kubernetes.io/service-name={name}"))), ..self }
    }

    /// The path of one of its objects.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{}/{}", self.path, segment(name))
    }

    /// Reads it from the server's cache.
    pub(super) fn read(&self, server: &Server, saved: &mut Saved) -> Result<(), Trouble> {
        self.pages(server, Some(CACHED), saved)
    }

    /// Reads it as it is now, which costs the server more than its cache does.
    pub(super) fn read_newest(&self, server: &Server, saved: &mut Saved) -> Result<(), Trouble> {
        self.pages(server, None, saved)
    }

    /// What a selector chooses is one page.
    fn pages(&self, server: &Server, state: Option<(&str, &str)>, saved: &mut Saved) -> Result<(), Trouble> {
        let selector: Vec<_> = self.selector.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let pages = Pages { path: &self.path, selector: &selector, state, whole: self.selector.is_some() };
        saved.absorb(pages.read(|page, list| self.page(server, page, list))?);
        Ok(())
    }

    /// Reads a page while it comes, and tells where the next one begins.
    fn page(&self, server: &Server, page: &str, saved: &mut Saved) -> Result<Option<String>, Trouble> {
        let nonsense = |bad: BadObjects| Trouble::Nonsense(BadObjects { label: self.path.clone(), ..bad }.to_string());
        let mut pieces = Pieces::default();
        server.read(page, |piece| pieces.take(piece, saved).map_err(nonsense))?;
        let next = pieces.finish(&self.path, saved).map_err(nonsense)?;
        // Who answers for the server with something else must not make it a cluster without Services.
        let plural = self.path.rsplit('/').next().unwrap_or_default();
        match saved.list_kind() {
            kind if is_list_of(kind, plural) => Ok(next),
            kind => Err(Trouble::Nonsense(format!("{} is called {} and no list of {plural}", self.path, words(kind)))),
        }
    }

    /// The request that tells what changes from `version` on, for `limit` at most. Bookmarks keep the version young where
    /// nothing changes.
    pub(super) fn watch(&self, version: &str, limit: Duration) -> String {
        let seconds = limit.as_secs().to_string();
        let selector = self.selector.iter().map(|(name, value)| (*name, value.as_str()));
        let watch = [
            ("watch", "1"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
        ];
        format!("{}?{}", self.path, query(&selector.chain(watch).collect::<Vec<_>>()))
    }
}

/// True if a list of this kind (`ServiceList`) is one of the objects that stand under `plural` in paths (`services`).
fn is_list_of(kind: &str, plural: &str) -> bool {
    let one = kind.strip_suffix("List").unwrap_or_default().to_ascii_lowercase();
    // The plural of Endpoints is the same.
    plural == one || plural.strip_suffix('s') == Some(&one)
}

/// Reads a list page by page from the server's cache; `keep` tells where it goes on.
pub(super) fn paged<T: Default>(
    server: &Server,
    path: &str,
    selector: &[(&str, &str)],
    keep: impl Fn(&str, &mut T) -> Result<Option<String>, Trouble>,
) -> Result<T, Trouble> {
    Pages { path, selector, state: Some(CACHED), whole: false }.read(|page, list| keep(&server.get(page)?, list))
}

/// How a list is read.
struct Pages<'p> {
    path: &'p str,
    selector: &'p [(&'p str, &'p str)],
    /// Which state of it will do; the newest where nothing is said.
    state: Option<(&'p str, &'p str)>,
    /// In one page.
    whole: bool,
}

impl Pages<'_> {
    /// Reads all pages; `one` reads a page and tells where the next begins. If the server forgets where it was (410 Gone), the
    /// list is read again as a whole.
    fn read<T: Default>(&self, one: impl Fn(&str, &mut T) -> Result<Option<String>, Trouble>) -> Result<T, Trouble> {
        let size = PAGE.to_string();
        let limit: &[(&str, &str)] = if self.whole { &[] } else { &[("limit", &size)] };
        let state = self.state.as_slice();
        let asked = |parts: &[&[(&str, &str)]]| format!("{}?{}", self.path, query(&parts.concat()));
        let mut list = T::default();
        // The token of a page stands for the state of the first one and allows no other.
        let mut page = asked(&[self.selector, limit, state]);
        let mut tokens = HashSet::new();
        let mut again = false;
        loop {
            match one(&page, &mut list) {
                Ok(Some(next)) => {
                    page = asked(&[self.selector, limit, &[("continue", &next)]]);
                    if !tokens.insert(next) {
                        let what = format!("the pages of {} go round in a circle", self.path);
                        return Err(Trouble::Nonsense(what));
                    }
                }
                Ok(None) => return Ok(list),
                // Once: a server that gives pages of the whole list too may forget those.
                Err(Trouble::Status { code: 410, .. }) if !tokens.is_empty() && !again => {
                    (list, again) = (T::default(), true);
                    page = asked(&[self.selector, state]);
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }
}

/// Reads an answer and tells where the list goes on.
pub(super) fn keep(path: &str, text: &str, saved: &mut Saved) -> Result<Option<String>, Trouble> {
    saved.read_page(path, text).map_err(|bad| Trouble::Nonsense(bad.to_string()))
}

pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_it_is_of() {
        for (kind, plural) in [
            ("ServiceList", "services"),
            ("EndpointSliceList", "endpointslices"),
            ("EndpointsList", "endpoints"),
            ("ConfigMapList", "configmaps"),
        ] {
            assert!(is_list_of(kind, plural), "{kind}");
            assert!(!is_list_of(kind, "pods"), "{kind}");
        }
        for kind in ["", "List", "Pod", "PodList", "APIResourceList", "EndpointsList"] {
            assert!(!is_list_of(kind, "services"), "{kind}");
        }
    }
}
