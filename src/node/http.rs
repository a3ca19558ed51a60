//! `/metrics` and `/ready` over HTTP/1.1: GET only, small requests, one answer per connection.
//!
//! Not a web server: a request line and headers are read within a bound of bytes and time, the path is
//! answered, the connection is closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::lane_thread::Busy;
use super::shared::NodeShared;

const CONNECTIONS_MAX: usize = 32;
const REQUEST_BYTES_MAX: usize = 8 << 10;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<NodeShared>) {
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Over the bound: closed at once.
                    let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { continue };
                    let shared = Arc::clone(&shared);
                    tasks.spawn(async move {
                        // A peer that is slow or gone gets nothing.
                        let _ = tokio::time::timeout(TIMEOUT, answer(stream, &shared)).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a metrics connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn answer(mut stream: TcpStream, shared: &NodeShared) -> std::io::Result<()> {
    let mut request = Vec::with_capacity(1024);
    while !ends(&request) && request.len() < REQUEST_BYTES_MAX {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let (status, kind, body) = match path(&request) {
        Ok("/metrics") => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ("200 OK", kind, shared.metrics.encode())
        }
        Ok("/ready") => readiness(shared).await,
        Ok(_) => ("404 Not Found", TEXT, "paths here: /metrics /ready\n".to_owned()),
        Err(status) => (status, TEXT, format!("{status}\n")),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

const TEXT: &str = "text/plain; charset=utf-8";

async fn readiness(shared: &NodeShared) -> (&'static str, &'static str, String) {
    let unready = "503 Service Unavailable";
    if shared.is_draining() {
        return (unready, TEXT, "draining: leaderships are being handed over\n".to_owned());
    }
    let lane = shared.lane.clone();
    let asked = tokio::task::spawn_blocking(move || lane.readiness()).await;
    match asked.unwrap_or(Err(Busy)) {
        Ok(ready) if ready.is_ready() => ("200 OK", TEXT, "ready\n".to_owned()),
        Ok(ready) => {
            let caught_up = if ready.caught_up { "folded" } else { "still being folded" };
            let body = format!(
                "not ready: the system topic is {caught_up}; {} replicas know no leader; {} replicas failed\n",
                ready.leaderless, ready.failed
            );
            (unready, TEXT, body)
        }
        Err(busy) => (unready, TEXT, format!("not ready: {busy}\n")),
    }
}

fn ends(request: &[u8]) -> bool {
    request.windows(4).any(|four| four == b"\r\n\r\n")
}

/// The path of a GET, without its query; else the status to answer with.
fn path(request: &[u8]) -> Result<&str, &'static str> {
    if !ends(request) {
        return Err("431 Request Header Fields Too Large");
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?;
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("GET"), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) => {
            Ok(target.split('?').next().unwrap_or(target))
        }
        (Some(_), Some(_), Some("HTTP/1.1" | "HTTP/1.0"), None) => Err("405 Method Not Allowed"),
        _ => Err("400 Bad Request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_get_request_names_a_path() {
        assert_eq!(path(b"GET /ready?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"), Ok("/ready"));
        assert_eq!(path(b"POST /ready HTTP/1.1\r\n\r\n"), Err("405 Method Not Allowed"));
        assert_eq!(path(b"\xff\xfe\r\n\r\n"), Err("400 Bad Request"));
        assert_eq!(path(b"GET  /ready HTTP/1.1\r\n\r\n"), Err("400 Bad Request"));
        assert_eq!(path(b"GET /ready HTTP/1.1\r\n"), Err("431 Request Header Fields Too Large"));
    }
}
