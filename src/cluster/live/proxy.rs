//! The proxy through which an API server is asked: the one kubectl would take.
//!
//! A `proxy-url` of the kubeconfig always is. The environment is read as Go reads it (golang.org/x/net/http/httpproxy), which
//! leads nothing through a proxy that runs on this machine; kube would, and looks for the proxy itself in `NO_PROXY`.

use std::net::IpAddr;

use http::Uri;

use crate::cluster::problem::{Detour, Trouble};
use crate::cluster::words::without_users;
use crate::net::Network;

/// What kube can go through.
const SCHEMES: [&str; 3] = ["http", "https", "socks5"];

/// The proxy for the server: that of the kubeconfig, else what the environment (`variable`) says.
pub(super) fn proxy(
    named: Option<&str>,
    server: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Uri, Detour)>, Trouble> {
    let named = named.filter(|url| !url.is_empty()).map(|url| (url.to_owned(), "the kubeconfig"));
    let Some((url, from)) = named.or_else(|| of_environment(server, variable)) else { return Ok(None) };
    // As Go takes `proxy:3128`.
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let shown = without_users(url.trim_end_matches('/'));
    let unusable = |why: &str| Err(Trouble::Configuration(format!("the proxy {shown} of {from} {why}")));
    let Ok(uri) = url.parse::<Uri>() else { return unusable("is no address") };
    if !uri.scheme_str().is_some_and(|scheme| SCHEMES.contains(&scheme)) {
        return unusable("is none of http, https or socks5");
    }
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    Ok(Some((uri, Detour { url: shown, from, has_user })))
}

/// What a variable of the environment says, and its name. The first of each pair wins that is set and not empty.
fn of_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<(String, &'static str)> {
    let set = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| Some((variable(name).filter(|value| !value.is_empty())?, name)))
    };
    let is_plain = server.scheme_str() == Some("http");
    let names = if is_plain { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let excluded = set(["NO_PROXY", "no_proxy"]).map(|(list, _)| list).unwrap_or_default();
    let port = server.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
    let host = server.host()?.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return None;
    }
    let is_excluded =
        excluded.split(',').any(|entry| excludes(&entry.trim().to_ascii_lowercase(), &host, address, port));
    set(names).filter(|_| !is_excluded)
}

/// True if this entry of `NO_PROXY` means the server: `*`, a network, an address, or a domain with all below it, which `.` or
/// `*.` before it leaves out itself; the last two with or without a port.
fn excludes(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if entry.contains('/') {
        return Network::parse(entry).zip(address).is_some_and(|(network, address)| network.contains(address));
    }
    let (name, only) = match entry.rsplit_once(':') {
        // More than one is an address of IPv6.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (entry, None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() || only.is_some_and(|only| only.parse() != Ok(port)) {
        return false;
    }
    if let Ok(excluded) = name.parse::<IpAddr>() {
        return address == Some(excluded);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|before| before.ends_with('.')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, variables: &[(&str, &str)]) -> Option<(String, &'static str)> {
        let known =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let proxy = proxy(None, &server.parse().expect("an address"), known).expect("a proxy or none");
        proxy.map(|(_, detour)| (detour.url, detour.from))
    }

    #[test]
    fn nothing_on_this_machine_is_asked_through_a_proxy() {
        let variables = [("HTTPS_PROXY", "http://p:1"), ("HTTP_PROXY", "http://p:2")];
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"] {
            assert_eq!(chosen(&format!("https://{host}:6443"), &variables), None, "{host}");
            assert_eq!(chosen(&format!("http://{host}"), &variables), None, "{host}");
        }
        assert_eq!(chosen("https://10.0.0.1:6443", &variables), Some(("http://p:1".to_owned(), "HTTPS_PROXY")));
        assert_eq!(chosen("http://10.0.0.1", &variables), Some(("http://p:2".to_owned(), "HTTP_PROXY")));
        assert_eq!(chosen("https://localhost.corp", &variables), Some(("http://p:1".to_owned(), "HTTPS_PROXY")));
    }

    #[test]
    fn the_environment_is_read_as_go_reads_it() {
        for (server, excluded, is_asked) in [
            ("https://api.example.com", "", true),
            ("https://api.example.com", "*", false),
            ("https://api.example.com", "a, ,example.com", false),
            ("https://api.example.com", "EXAMPLE.com", false),
            ("https://api.example.com", ".example.com:443", false),
            ("https://api.example.com", "example.com:6443", true),
            ("https://api.example.com", "ample.com", true),
            ("https://example.com", "example.com", false),
            ("https://example.com", ".example.com", true),
            ("https://example.com", "*.example.com", true),
            ("https://10.0.0.1:6443", "10.0.0.0/8", false),
            ("https://10.0.0.1:6443", "10.0.0.1:6443", false),
            ("https://10.0.0.1:6443", "10.0.0.1:443", true),
            ("https://10.0.0.1:6443", "0.0.1", false),
            ("https://[fd00::1]:6443", "fd00::/8", false),
            ("https://[fd00::1]:6443", "fd00::1", false),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", false),
            ("https://[fd00::1]:6443", "10.0.0.0/8,:6443,[", true),
        ] {
            let proxy = chosen(server, &[("https_proxy", "user:word@p:1"), ("no_proxy", excluded)]);
            let expected = is_asked.then(|| ("http://p:1".to_owned(), "https_proxy"));
            assert_eq!(proxy, expected, "{server} {excluded}");
        }
    }

    #[test]
    fn the_proxy_of_the_kubeconfig_is_always_taken() {
        let server = "https://127.0.0.1:6443".parse().expect("an address");
        let (uri, detour) =
            proxy(Some("socks5://a:b@p:1/"), &server, |_| Some("*".to_owned())).expect("fine").expect("a proxy");
        assert_eq!(uri, "socks5://a:b@p:1/");
        assert_eq!(detour, Detour { url: "socks5://p:1".to_owned(), from: "the kubeconfig", has_user: true });
        let why = proxy(Some("ftp://a:b@p:1"), &server, |_| None).err();
        let expected = "the proxy ftp://p:1 of the kubeconfig is none of http, https or socks5";
        assert_eq!(why, Some(Trouble::Configuration(expected.to_owned())));
    }
}
