//! The body of an order mark frame.
//!
//! Knows nothing of who makes it. 40 bytes, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | body version, 1 |
//! | 2 | 1 | reason: 1 outvoted, 2 no majority |
//! | 3 | 5 | reserved, zero |
//! | 8 | 8 | node whose clock was wrong |
//! | 16 | 8 | first timestamp concerned, ns |
//! | 24 | 8 | last timestamp concerned, ns |
//! | 32 | 8 | how far the clock missed the majority, ns; 0 without a majority |

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;
use crate::types::{MarkReason, NodeId, OrderMark, Timestamp};

/// Size of the body.
pub const ORDER_MARK_BYTES: usize = 40;
const VERSION: u16 = 1;

pub fn encode_order_mark(mark: &OrderMark) -> Bytes {
    let mut bytes = BytesMut::with_capacity(ORDER_MARK_BYTES);
    bytes.put_u16_le(VERSION);
    bytes.put_u8(match mark.reason {
        MarkReason::Outvoted => 1,
        MarkReason::NoMajority => 2,
    });
    bytes.put_bytes(0, 5);
    bytes.put_u64_le(mark.node.0);
    bytes.put_u64_le(mark.from.0);
    bytes.put_u64_le(mark.until.0);
    bytes.put_u64_le(mark.off_by_ns);
    bytes.freeze()
}

/// Reads a body. An error says that it is of another version, or foreign: a reader steps over it, as every reader did before
/// marks had a body.
pub fn decode_order_mark(mut body: &[u8]) -> Result<OrderMark, Error> {
    if body.len() < ORDER_MARK_BYTES {
        return Err(Error::Short { needed: ORDER_MARK_BYTES, available: body.len() });
    }
    let version = body.get_u16_le();
    if version != VERSION {
        return Err(Error::Field { field: "order mark version", found: version.into() });
    }
    let reason = match body.get_u8() {
        1 => MarkReason::Outvoted,
        2 => MarkReason::NoMajority,
        other => return Err(Error::Field { field: "order mark reason", found: other.into() }),
    };
    if let Some(byte) = body[..5].iter().find(|byte| **byte != 0) {
        return Err(Error::Field { field: "reserved bytes", found: (*byte).into() });
    }
    body.advance(5);
    let node = NodeId(body.get_u64_le());
    let (from, until) = (Timestamp(body.get_u64_le()), Timestamp(body.get_u64_le()));
    let off_by_ns = body.get_u64_le();
    if until < from {
        return Err(Error::Field { field: "last timestamp of an order mark", found: until.0 });
    }
    if !body.is_empty() {
        return Err(Error::Field { field: "bytes after an order mark", found: body.len() as u64 });
    }
    Ok(OrderMark { node, from, until, off_by_ns, reason })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_order_mark_has_these_bytes() {
        let mark = OrderMark {
            node: NodeId(3),
            from: Timestamp(0x1122_3344_5566_7788),
            until: Timestamp(0x1122_3344_5566_7799),
            off_by_ns: 50_000_000,
            reason: MarkReason::Outvoted,
        };
        let golden = [
            [1, 0, 1, 0, 0, 0, 0, 0],
            [3, 0, 0, 0, 0, 0, 0, 0],
            [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            [0x99, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
            [0x80, 0xf0, 0xfa, 0x02, 0, 0, 0, 0],
        ];
        assert_eq!(encode_order_mark(&mark), golden.concat());
        assert_eq!(decode_order_mark(&golden.concat()), Ok(mark));
    }

    proptest! {
        #[test]
        fn a_mark_that_decodes_encodes_to_the_same_bytes(mut bytes: [u8; ORDER_MARK_BYTES], reason in 0_u8..4) {
            bytes[..8].copy_from_slice(&[1, 0, reason, 0, 0, 0, 0, 0]);
            if let Ok(mark) = decode_order_mark(&bytes) {
                prop_assert_eq!(&encode_order_mark(&mark)[..], &bytes[..]);
            }
        }

        #[test]
        fn a_body_of_another_length_or_with_reserved_bytes_is_refused(node: u64, cut in 0..ORDER_MARK_BYTES, at in 3_usize..8) {
            let (from, until, off_by_ns) = (Timestamp(1), Timestamp(2), 0);
            let mark = OrderMark { node: NodeId(node), from, until, off_by_ns, reason: MarkReason::NoMajority };
            let mut bytes = encode_order_mark(&mark).to_vec();
            prop_assert!(decode_order_mark(&bytes[..cut]).is_err());
            prop_assert!(decode_order_mark(&[&bytes[..], &[0]].concat()).is_err());
            bytes[at] = 1;
            prop_assert!(decode_order_mark(&bytes).is_err());
        }
    }
}
