//! The name of a service port, `namespace/service[:port]`.

use std::fmt;

/// Namespace, service and port name. Ordered the way people read lists: by namespace, service, port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Name of its port; `None` for the only, unnamed port.
    pub port: Option<String>,
}

impl ServiceName {
    /// Reads `ns/service`, `ns/service:port` and the old `ns/service:` for an unnamed port.
    ///
    /// `None` if a part is empty or holds a character no Kubernetes name has (RFC 1123 labels, plus `.` in Service
    /// names of old releases).
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, rest) = text.split_once('/')?;
        let (service, port) = match rest.split_once(':') {
            Some((service, "")) => (service, None),
            Some((service, port)) => (service, Some(port)),
            None => (rest, None),
        };
        let is_name = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        };
        let valid = is_name(namespace) && is_name(service) && port.is_none_or(is_name);
        valid.then(|| Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: port.map(str::to_owned),
        })
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        self.port.as_ref().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_port() {
        for (text, shown) in
            [("a/b", "a/b"), ("a/b:", "a/b"), ("a/b:http", "a/b:http"), ("shop/fresh:80-8080", "shop/fresh:80-8080")]
        {
            assert_eq!(ServiceName::parse(text).map(|n| n.to_string()).as_deref(), Some(shown));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a", "a/", "/b", "a/b:c:d", "a/b c", "a/b/c", "ä/b"] {
            assert_eq!(ServiceName::parse(text), None, "{text}");
        }
    }
}
