//! A client of the cluster that the common flags name, and what its failures mean for the exit code.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::arguments::Common;
use super::failure::{Failure, Kind};
use crate::client::{self, Client, ClientOptions};
use crate::types::Timestamp;

const ENDPOINT_DEFAULT: &str = "127.0.0.1:7400";
/// Where certificates are looked for when no flag says: where `cert init` and where `dev` are told to put them.
const CERTS_DEFAULT: [&str; 2] = ["certs", "data/certs"];
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the cluster.
pub(super) async fn connect(common: &Common) -> Result<Client, Failure> {
    let mut endpoints: Vec<String> =
        common.endpoint.iter().filter(|text| !text.is_empty()).cloned().collect();
    if endpoints.is_empty() {
        endpoints.push(ENDPOINT_DEFAULT.to_owned());
    }
    let certs = certs(common)?;
    Ok(Client::connect(ClientOptions { endpoints, certs, request_timeout: REQUEST_TIMEOUT }).await?)
}

/// The folder of the client's certificates.
pub(super) fn certs(common: &Common) -> Result<PathBuf, Failure> {
    if let Some(certs) = &common.certs {
        return Ok(certs.clone());
    }
    let found = CERTS_DEFAULT.iter().map(Path::new).find(|folder| folder.join("client.pem").exists());
    found.map(Path::to_owned).ok_or_else(|| {
        let tried = CERTS_DEFAULT.join(" nor ");
        let message = format!(
            "no client certificate: neither {tried} has client.pem; name its folder with --certs DIR or \
             TIMBERLINE_CERTS"
        );
        Failure::new(Kind::Denied, message)
    })
}

/// The cluster's time: the middle of a node's interval. What relative times count back from.
pub(super) async fn cluster_now(client: &Client) -> Result<Timestamp, Failure> {
    let clock = client.clock(None).await?;
    Ok(clock.earliest.plus_ns(clock.latest.ns_since(clock.earliest) / 2))
}

/// Runs a command's future on a runtime of its own. The future stays on this thread, where it may write to a
/// slow pipe: connections are kept alive by the runtime's own threads.
pub(super) fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("timberline-client")
        .enable_all()
        .build()
        .map_err(|error| Failure::plain(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(command);
    // A thread that reads a terminal cannot be interrupted: do not wait for it.
    runtime.shutdown_background();
    result
}

pub(super) fn kind_of(error: &client::Error) -> Kind {
    match error.kind() {
        client::Kind::NotFound => Kind::NotFound,
        client::Kind::Denied => Kind::Denied,
        client::Kind::Conflict => Kind::Conflict,
        client::Kind::Unavailable => Kind::Unavailable,
        client::Kind::Corruption => Kind::Corruption,
        client::Kind::Usage => Kind::Usage,
        client::Kind::Failure => Kind::Failure,
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self::new(kind_of(&error), error.to_string())
    }
}
