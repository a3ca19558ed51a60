//! What waits for one stream of one peer: bounded in messages and bytes, taken out many at a time.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

/// How much one write takes out of the queue.
const WRITE_BYTES: usize = 1 << 20;

pub(super) struct SendQueue {
    waiting: Mutex<Waiting>,
    filled: Notify,
    messages_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<Vec<Bytes>>,
    bytes: usize,
}

impl SendQueue {
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), filled: Notify::new(), messages_max, bytes_max }
    }

    /// Adds a packet; `false` if that would exceed a bound.
    pub(super) fn push(&self, packet: Vec<Bytes>) -> bool {
        let bytes = packet_bytes(&packet);
        let mut waiting = self.waiting.lock().expect("no panic under the lock");
        if waiting.packets.len() >= self.messages_max || waiting.bytes + bytes > self.bytes_max {
            return false;
        }
        waiting.bytes += bytes;
        waiting.packets.push_back(packet);
        drop(waiting);
        self.filled.notify_one();
        true
    }

    /// The chunks of the oldest packets, at least one; waits while there is none. For one caller at a time.
    pub(super) async fn take(&self) -> Vec<Bytes> {
        loop {
            let chunks = self.take_now();
            if !chunks.is_empty() {
                return chunks;
            }
            self.filled.notified().await;
        }
    }

    fn take_now(&self) -> Vec<Bytes> {
        let mut waiting = self.waiting.lock().expect("no panic under the lock");
        let mut chunks = Vec::new();
        let mut taken = 0;
        while taken < WRITE_BYTES {
            let Some(packet) = waiting.packets.pop_front() else { break };
            taken += packet_bytes(&packet);
            chunks.extend(packet);
        }
        waiting.bytes -= taken;
        chunks
    }
}

fn packet_bytes(packet: &[Bytes]) -> usize {
    packet.iter().map(Bytes::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_by_messages_and_by_bytes_and_takes_again_when_emptied() {
        let packet = || vec![Bytes::from_static(b"12345678")];
        let by_messages = SendQueue::new(2, 1000);
        assert!(by_messages.push(packet()) && by_messages.push(packet()) && !by_messages.push(packet()));
        let by_bytes = SendQueue::new(1000, 20);
        assert!(by_bytes.push(packet()) && by_bytes.push(packet()) && !by_bytes.push(packet()));
        assert_eq!(by_bytes.take_now().len(), 2, "both in one write");
        assert!(by_bytes.push(packet()));
    }
}
