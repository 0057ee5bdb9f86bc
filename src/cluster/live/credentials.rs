//! What proves to an API server who we are, made ready before kube gets it: the credential plugin is run here, because kube
//! reads all that one prints and waits for as long as it takes, and a token that no request can carry makes it panic.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use crate::cluster::problem::Trouble;
use crate::cluster::words::words;
use crate::cluster::yaml;
use crate::runtime::first;

/// The most a plugin may print: a hundred times what a token, or a certificate with its chain and key, takes.
const LONGEST: usize = 1 << 20;

/// What is kept of a plugin's complaint.
const COMPLAINT: usize = 16 << 10;

/// Fetches what the user has to fetch, and checks what stands there. Until when it is good, where that is told.
///
/// The order is that of kube: a provider, a password, a token, a file with a token, a plugin.
pub(super) async fn prepare(user: &mut AuthInfo, plugin_limit: Option<Duration>) -> Result<Option<Timestamp>, Trouble> {
    if let Some(provider) = &user.auth_provider {
        // kubectl has neither since 1.26; kube would run the command, and read it to its end.
        if provider.config.contains_key("cmd-path") {
            let why = "auth-provider with cmd-path is no longer supported by Kubernetes; use exec with its successor";
            return Err(Trouble::Credentials(why.to_owned()));
        }
        provider.config.get("id-token").map_or(Ok(()), |token| carried(token))?;
        return Ok(None);
    }
    if user.username.is_some() && user.password.is_some() {
        return Ok(None);
    }
    if let Some(token) = &user.token {
        carried(token.expose_secret())?;
        return Ok(None);
    }
    if let Some(path) = user.token_file.clone() {
        return token_of_file(user, &path);
    }
    let Some(plugin) = user.exec.take() else { return Ok(None) };
    let credential = run(&plugin, plugin_limit).await?;
    if let Some(token) = credential.token {
        carried(&token)?;
        user.token = Some(SecretString::from(token));
    }
    if let Some((certificate, key)) = credential.certificate {
        user.client_certificate_data = Some(BASE64.encode(certificate.as_bytes()));
        user.client_key_data = Some(SecretString::from(BASE64.encode(key.as_bytes())));
    }
    Ok(credential.until)
}

/// Takes a token out of the blanks around it that `echo` or an editor leaves, as client-go does: kube sends a file as it is. One
/// without them is left to kube, which reads it again every minute, and so what is taken out here is over at once.
fn token_of_file(user: &mut AuthInfo, path: &str) -> Result<Option<Timestamp>, Trouble> {
    // Why it cannot be read is told by kube.
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(None) };
    let token = text.trim();
    if token.is_empty() {
        return Err(Trouble::Credentials(format!("the token file {path} is empty")));
    }
    carried(token)?;
    if token.len() == text.len() {
        return Ok(None);
    }
    user.token = Some(SecretString::from(token));
    user.token_file = None;
    Ok(Some(Timestamp::now()))
}

/// True if the user has a credential plugin that may ask a person.
pub(super) fn may_ask(plugin: &ExecConfig) -> bool {
    plugin.interactive_mode != Some(ExecInteractiveMode::Never)
}

/// Fails for a token that cannot stand in the header of a request.
fn carried(token: &str) -> Result<(), Trouble> {
    match http::HeaderValue::from_str(token) {
        Ok(_) => Ok(()),
        Err(_) => Err(Trouble::Credentials(
            "the token has a line break or control character, which no request carries".into(),
        )),
    }
}

/// What a plugin gave.
struct Credential {
    token: Option<String>,
    /// A certificate with its chain, and its key, both PEM.
    certificate: Option<(String, String)>,
    until: Option<Timestamp>,
}

/// What a plugin prints, as far as it is read (client.authentication.k8s.io/v1, v1beta1).
#[derive(Deserialize)]
struct Printed {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs a plugin. One that cannot ask anybody is given up after `limit`.
async fn run(plugin: &ExecConfig, limit: Option<Duration>) -> Result<Credential, Trouble> {
    let asks = may_ask(plugin);
    let ended = ended(plugin, asks);
    let (status, stdout, stderr) = match limit.filter(|_| !asks) {
        None => ended.await?,
        Some(limit) => tokio::time::timeout(limit, ended).await.map_err(|_| Trouble::Plugin(limit))??,
    };
    if !status.success() {
        let said = words(&String::from_utf8_lossy(&stderr));
        let said = if said.is_empty() { String::new() } else { format!(": \"{said}\"") };
        return Err(Trouble::Credentials(format!("the credential plugin failed ({status}){said}")));
    }
    let text = String::from_utf8_lossy(&stdout);
    parsed(&text).map_err(|why| Trouble::Credentials(format!("the credential plugin {why}")))
}

/// How a plugin ended, what it printed and what it said. It is killed when nobody waits any more; what it started and left is
/// not known here.
async fn ended(plugin: &ExecConfig, asks: bool) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), Trouble> {
    let failed = |error: std::io::Error| {
        let name = plugin.command.as_deref().unwrap_or_default();
        Trouble::Credentials(format!("the credential plugin {name} cannot be run: {}", words(&error.to_string())))
    };
    let mut child = command(plugin, asks)?.spawn().map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let printed = async {
        let mut stdout = stdout;
        let printed = first(stdout.as_mut(), LONGEST + 1).await.map_err(failed)?;
        if printed.len() > LONGEST {
            let why = format!("the credential plugin printed more than {} MiB", LONGEST >> 20);
            return Err(Trouble::Credentials(why));
        }
        Ok(printed)
    };
    let said = async {
        let mut stderr = stderr;
        let said = first(stderr.as_mut(), COMPLAINT).await.map_err(failed)?;
        // It may have more to say, and must not wait for a reader.
        if let Some(mut rest) = stderr {
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map_err(failed)?;
        }
        Ok(said)
    };
    let (printed, said) = tokio::try_join!(printed, said)?;
    Ok((child.wait().await.map_err(failed)?, printed, said))
}

/// The plugin with what it is told, as client-go starts it.
fn command(plugin: &ExecConfig, asks: bool) -> Result<Command, Trouble> {
    let missing = |what: &str| Trouble::Configuration(format!("the kubeconfig's exec has no {what}"));
    let mut command = Command::new(plugin.command.as_ref().ok_or_else(|| missing("command"))?);
    command.args(plugin.args.iter().flatten()).kill_on_drop(true);
    let set = plugin.env.iter().flatten().filter_map(|one| Some((one.get("name")?, one.get("value")?)));
    command.envs(set);
    let cluster = match (&plugin.cluster, plugin.provide_cluster_info) {
        (Some(cluster), true) => Some(cluster),
        (None, true) => return Err(missing("cluster that provideClusterInfo means")),
        (_, false) => None,
    };
    let mut spec = json!({"interactive": asks});
    if let Some(cluster) = cluster {
        spec["cluster"] = json!(cluster);
    }
    let told = json!({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec});
    command.env("KUBERNETES_EXEC_INFO", told.to_string()).stdout(Stdio::piped());
    if asks {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
    }
    Ok(command)
}

/// Reads what a plugin printed; JSON, or YAML as client-go takes it too. No error quotes any of it.
fn parsed(text: &str) -> Result<Credential, String> {
    let printed: Option<Printed> = serde_json::from_str(text).ok().or_else(|| yaml::parse(text));
    let printed = printed.ok_or("printed what is no ExecCredential")?;
    let status = printed.status.ok_or("printed an ExecCredential without status")?;
    let until = status.expiration_timestamp.map(|time| time.parse()).transpose();
    let until = until.map_err(|_: jiff::Error| "printed an expirationTimestamp that is no time")?;
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    if status.token.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate with its key".to_owned());
    }
    Ok(Credential { token: status.token, certificate, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        parsed(text).err().unwrap_or_default()
    }

    #[test]
    fn what_plugins_print_is_json_or_yaml() {
        let of = |text: &str| parsed(text).expect("a credential");
        let both =
            of(r#"{"kind":"ExecCredential","status":{"token":"t","clientCertificateData":"c","clientKeyData":"k",
            "expirationTimestamp":"2026-01-02T03:04:05Z"}}"#);
        assert_eq!(both.token.as_deref(), Some("t"));
        assert_eq!(both.certificate, Some(("c".to_owned(), "k".to_owned())));
        assert_eq!(both.until, "2026-01-02T03:04:05Z".parse().ok());
        assert_eq!(of("kind: ExecCredential\nstatus:\n  token: t\n").token.as_deref(), Some("t"));
    }

    #[test]
    fn nothing_that_proves_anything_is_said_so() {
        let nothing = "printed neither a token nor a certificate with its key";
        assert_eq!(why(r#"{"status":{}}"#), nothing);
        assert_eq!(why(r#"{"status":{"clientKeyData":"k"}}"#), nothing);
        assert_eq!(why(r#"{"kind":"ExecCredential"}"#), "printed an ExecCredential without status");
        assert_eq!(why("<html>"), "printed what is no ExecCredential");
        assert_eq!(why(r#"{"status":{"token":["s3cret"]}}"#), "printed what is no ExecCredential");
        let time = r#"{"status":{"token":"t","expirationTimestamp":"s3cret"}}"#;
        assert_eq!(why(time), "printed an expirationTimestamp that is no time");
    }

    #[test]
    fn tokens_have_no_line_breaks() {
        assert_eq!(carried("abc.DEF-_~+/="), Ok(()));
        for token in ["abc\n", "a\rb", "a\0b", "\u{1b}[2J"] {
            assert!(carried(token).is_err(), "{token:?}");
        }
    }
}
