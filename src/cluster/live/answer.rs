//! The answer to one GET, piece by piece. What no server has reason to send is not waited for.

use std::future::poll_fn;
use std::pin::Pin;

use http_body::Body as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Client;
use kube::client::Body;

use super::trouble::{innermost, trouble};
use crate::cluster::problem::Trouble;
use crate::cluster::words::words;

/// What is read of an answer that is an error: a Status, or the page of a proxy.
const LONGEST_ERROR: usize = 64 << 10;

/// An answer whose head has come.
pub(super) struct Answer {
    body: Body,
}

impl Answer {
    /// Sends a GET and waits for the head of its answer. One that is an error, or leads elsewhere, is trouble.
    pub(super) async fn to(client: &Client, path: &str) -> Result<Self, Trouble> {
        let request = http::Request::get(path).body(Body::empty());
        let request = request.map_err(|error| Trouble::Configuration(error.to_string()))?;
        let (head, body) = client.send(request).await.map_err(|error| trouble(&error))?.into_parts();
        let answer = Self { body };
        if head.status.is_client_error() || head.status.is_server_error() {
            return Err(answer.error(head.status.as_u16()).await);
        }
        if head.status.is_redirection() {
            let to = head.headers.get(http::header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return Err(Trouble::Nonsense(format!("a redirection ({}) to {}", head.status.as_u16(), words(to))));
        }
        Ok(answer)
    }

    /// Gives what came next to `piece`, and tells how long it was; nothing is its end.
    pub(super) async fn next<T>(&mut self, mut piece: impl FnMut(&[u8]) -> T) -> Result<(usize, T), Trouble> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await.transpose();
            match frame.map_err(|error| Trouble::Cut(innermost(&error)))?.map(http_body::Frame::into_data) {
                None => return Ok((0, piece(&[]))),
                Some(Ok(data)) if !data.is_empty() => return Ok((data.len(), piece(&data))),
                // Trailers.
                Some(_) => {}
            }
        }
    }

    /// What an answer of this code says.
    async fn error(mut self, code: u16) -> Trouble {
        let mut text = Vec::new();
        while text.len() < LONGEST_ERROR {
            match self.next(|piece| text.extend_from_slice(piece)).await {
                Ok((1.., ())) => {}
                // Some of it may have come.
                Ok((0, ())) | Err(_) => break,
            }
        }
        let status = serde_json::from_slice::<Status>(&text).ok();
        let code = status.as_ref().and_then(|status| status.code?.try_into().ok()).unwrap_or(code);
        let said = match status {
            Some(status) => status.message.unwrap_or_default(),
            None => String::from_utf8_lossy(&text).into_owned(),
        };
        Trouble::refused(code, &said)
    }
}
