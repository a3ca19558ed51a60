//! Which processes of this machine listen on given UDP ports. Only loopback addresses are certainly this machine's.

use std::collections::BTreeSet;
use std::fs;
use std::net::ToSocketAddrs;

/// The processes behind those addresses that are this machine's loopback and whose files may be read, rising.
pub(crate) fn listening_on(addresses: &[String]) -> Vec<u32> {
    let resolved = addresses.iter().filter_map(|address| address.to_socket_addrs().ok()).flatten();
    let ports: BTreeSet<u16> =
        resolved.filter(|address| address.ip().is_loopback()).map(|address| address.port()).collect();
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        sockets.extend(text.lines().skip(1).filter_map(|line| inode_of(line, &ports)));
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found: Vec<u32> = pids.filter(|pid| holds_one_of(*pid, &sockets)).collect();
    found.sort_unstable();
    found
}

/// The inode of a line's socket, if its local port is asked for and it has no remote one.
fn inode_of(line: &str, ports: &BTreeSet<u16>) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let port_of = |field: &str| u16::from_str_radix(field.rsplit_once(':')?.1, 16).ok();
    let (local, remote) = (port_of(fields.next()?)?, port_of(fields.next()?)?);
    let inode = fields.nth(6)?.parse().ok()?;
    (ports.contains(&local) && remote == 0).then_some(inode)
}

/// Whether a process has one of the sockets open.
fn holds_one_of(pid: u32, sockets: &BTreeSet<u64>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
        let socket = target.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']'));
        socket.and_then(|inode| inode.parse().ok()).is_some_and(|inode: u64| sockets.contains(&inode))
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn this_process_is_found_by_its_socket_and_nobody_where_nobody_listens() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(listening_on(&[address.to_string()]), [std::process::id()]);
        drop(socket);
        for nobody in [address.to_string(), "192.0.2.1:7400".to_owned()] {
            assert!(listening_on(&[nobody]).is_empty());
        }
    }
}
