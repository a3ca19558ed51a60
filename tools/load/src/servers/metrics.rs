//! A node's own count of the files it has synced, from its metrics over HTTP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const SYNCS: &str = "timberline_file_syncs_total";
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(3);

/// Files that the node at `address` has synced since it started.
pub(super) async fn file_syncs(address: SocketAddr) -> io::Result<u64> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {TIMEOUT:?}"));
    let text = timeout(TIMEOUT, get(address)).await.map_err(late)??;
    let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("its metrics have no {SYNCS}"));
    value(&text, SYNCS).ok_or_else(missing)
}

async fn get(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).await?;
    Ok(text)
}

fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE timberline_file_syncs counter\ntimberline_file_syncs_total 42\nx 1\n";
        assert_eq!(value(text, SYNCS), Some(42));
        assert_eq!(value(text, "timberline_file"), None);
    }
}
