//! What kube's errors mean.

use std::error::Error as _;

use kube::Error;
use kube::client::{AuthError, UpgradeConnectionError};

use super::CONNECT;
use crate::cluster::problem::Trouble;
use crate::cluster::words::words;

/// What kept a request from its answer.
pub(super) fn trouble(error: &Error) -> Trouble {
    if let Error::Api(status) = error {
        return Trouble::refused(status.code, &status.message);
    }
    if let Error::UpgradeConnection(error) = error {
        return Trouble::NoStream(match error {
            UpgradeConnectionError::ProtocolSwitch(code) => format!("it answered {code}"),
            other => words(&other.to_string()),
        });
    }
    let mut chain = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        chain.push(error.to_string());
        next = error.source();
    }
    let all = chain.join(": ");
    let last = words(chain.last().map_or("", String::as_str));
    let has = |part: &str| all.to_lowercase().contains(part);
    if let Some(error) = of_credentials(error) {
        Trouble::Credentials(words(&error.to_string()))
    } else if has("fatal alert") && ["certificate", "unknownca", "accessdenied"].into_iter().any(has) {
        // The server's word on ours; what we think of the server's is no alert.
        Trouble::Credentials(format!("it refused the client certificate ({last})"))
    } else if has("causedasendentity") {
        // What `openssl req -x509` makes; kubectl takes it.
        Trouble::Certificate(
            "it is that of a certificate authority, which should sign another for the server".to_owned(),
        )
    } else if let Some(why) = of_tunnel(&all) {
        Trouble::Unreachable(why.to_owned())
    } else if has("certificate") || has("tls") {
        Trouble::Certificate(last)
    } else if has("deadline has elapsed") && has("connect") {
        Trouble::Unreachable(format!("no connection in {} s", CONNECT.as_secs()))
    } else if has("incompletemessage") || has("before message completed") || has("body") {
        Trouble::Cut(last)
    } else {
        Trouble::Unreachable(last)
    }
}

/// What a proxy did instead of leading on, in the words of hyper-util.
fn of_tunnel(all: &str) -> Option<&'static str> {
    let (_, why) = all.split_once("tunnel error: ")?;
    match why {
        "proxy authorization required" => Some("it wants to know who asks (407 Proxy Authentication Required)"),
        "unsuccessful" => Some("the proxy refuses to lead there"),
        "unexpected end of file" => Some("the proxy closed the connection"),
        _ => None,
    }
}

/// Why no client can be made of a configuration. Nothing was sent: it is not the server's doing.
pub(super) fn unusable(error: &Error) -> Trouble {
    match of_credentials(error) {
        Some(error) => Trouble::Credentials(words(&error.to_string())),
        None if innermost(error).contains("KeyMismatch") => Trouble::Configuration(
            "the client certificate and the client key of the kubeconfig do not belong together".to_owned(),
        ),
        None => Trouble::Configuration(format!(
            "the client certificate or the certificate authority of the kubeconfig cannot be used: {}",
            innermost(error)
        )),
    }
}

/// The error of getting credentials that is behind `error`.
fn of_credentials(error: &Error) -> Option<&AuthError> {
    if let Error::Auth(error) = error {
        return Some(error);
    }
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// The words of the error that the others stand around.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    words(&error.to_string())
}
