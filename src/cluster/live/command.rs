//! Running a command in a container of a Pod, as `kubectl exec` does, and what it printed.

use std::cell::Cell;
use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::Server;
use super::trouble::{innermost, trouble};
use crate::cluster::problem::Trouble;
use crate::cluster::words::words;
use crate::runtime::{MOST_PRINTED, MOST_SAID, too_much};

/// Bytes of a command's output that wait to be taken over.
const BUFFER: usize = 256 * 1024;

/// What a command that ran in a Pod left. It came to its end: all it printed is here.
pub(in crate::cluster) struct Ended {
    pub(in crate::cluster) stdout: Vec<u8>,
    pub(in crate::cluster) stderr: Vec<u8>,
    /// What the kubelet says of its end.
    pub(in crate::cluster) status: Status,
}

impl Server {
    /// Runs a command in a container and waits for its end. The time for a request is here the longest silence.
    pub(in crate::cluster) fn exec(
        &self,
        (namespace, pod, container): (&str, &str, &str),
        argv: &[&str],
    ) -> Result<Ended, Trouble> {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.client()?, namespace);
        let params = AttachParams {
            container: Some(container.to_owned()),
            stdin: false,
            stdout: true,
            stderr: true,
            tty: false,
            max_stdin_buf_size: None,
            max_stdout_buf_size: Some(BUFFER),
            max_stderr_buf_size: Some(BUFFER),
        };
        self.runtime.block_on(async {
            let started = self.in_time(pods.exec(pod, argv.iter().copied(), &params)).await?;
            self.finish(started.map_err(|error| no_stream(trouble(&error)))?).await
        })
    }

    /// Reads to the end of a command. Without word of its end what came may be a part, and is not given.
    async fn finish(&self, mut process: AttachedProcess) -> Result<Ended, Trouble> {
        let heard = Heard { last: Cell::new(Instant::now()), bytes: Cell::new(0) };
        let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
        // Where the connection breaks the streams never end; that no status will come is told.
        let status = async {
            match status {
                Some(status) => status.await.ok_or(None),
                None => Err(None),
            }
        };
        let printed = to_the_end(stdout, MOST_PRINTED, &heard);
        let said = to_the_end(stderr, MOST_SAID, &heard);
        let all = async { tokio::try_join!(printed, said, status) };
        let all = tokio::select! {
            all = all => all,
            () = self.silence(&heard) => return Err(Trouble::Silent(self.request_timeout)),
        };
        let why = match all {
            Ok((stdout, stderr, status)) => return Ok(Ended { stdout, stderr, status }),
            Err(Some(error)) => words(&error.to_string()),
            Err(None) => match process.join().await {
                Ok(()) => "the command's end was not told".to_owned(),
                Err(error) => innermost(&error),
            },
        };
        Err(Trouble::Cut(format!("{why} ({} bytes had come)", heard.bytes.get())))
    }

    /// Waits until nothing was heard for as long as one request may take.
    async fn silence(&self, heard: &Heard) {
        if self.request_timeout.is_zero() {
            return std::future::pending().await;
        }
        loop {
            let end = heard.last.get() + self.request_timeout;
            tokio::time::sleep_until(end.into()).await;
            if heard.last.get() + self.request_timeout <= Instant::now() {
                return;
            }
        }
    }
}

/// What keeps a command from its stream. Where a proxy takes the upgrade out of a request, the server answers that there is none.
fn no_stream(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Status { code: 400, message } if message.contains("Upgrade") => {
            Trouble::NoStream(format!("it answered 400: {message}"))
        }
        other => other,
    }
}

/// What came of a command so far.
struct Heard {
    /// When something came last.
    last: Cell<Instant>,
    /// How much came.
    bytes: Cell<usize>,
}

/// Reads a stream to its end, which has to come before `limit` bytes did.
async fn to_the_end(
    stream: Option<impl AsyncRead + Unpin>,
    limit: usize,
    heard: &Heard,
) -> Result<Vec<u8>, Option<std::io::Error>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    loop {
        match stream.read_buf(&mut bytes).await? {
            0 => return Ok(bytes),
            _ if bytes.len() > limit => return Err(Some(too_much(limit))),
            read => {
                heard.last.set(Instant::now());
                heard.bytes.set(heard.bytes.get() + read);
            }
        }
    }
}
