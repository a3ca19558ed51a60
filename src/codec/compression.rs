//! How bodies are compressed: whole, one by one, so that the reader of a batch needs no other batch.
//!
//! Knows nothing of frames or of what a body holds. A compressed body says its decompressed length first, so nothing
//! is allocated beyond `BODY_BYTES_MAX`, whatever the bytes behind it claim.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | decompressed length, 1 to `BODY_BYTES_MAX` |
//! | 4 | .. | lz4: one block (the LZ4 block format, without a frame around it); zstd: one frame (RFC 8878) |

use bytes::Bytes;
use lz4_flex::block;
use zstd::zstd_safe;

use super::{BODY_BYTES_MAX, Error};

/// Bytes before the compressed data.
const LENGTH_BYTES: usize = 4;
/// zstd's own default: its ratio is near that of the levels above at several times their speed.
const ZSTD_LEVEL: i32 = 3;

/// How a body is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Compression {
    #[default]
    None = 0,
    Lz4 = 1,
    Zstd = 2,
}

impl Compression {
    pub const ALL: [Self; 3] = [Self::None, Self::Lz4, Self::Zstd];

    pub fn decode(byte: u8) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|compression| *compression as u8 == byte);
        known.ok_or(Error::Field { field: "compression", found: byte.into() })
    }

    /// What it is called on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// `body` as it is to be stored, if that is smaller than `body` itself.
    pub(super) fn shrink(self, body: &[u8]) -> Option<Bytes> {
        assert!(body.len() <= BODY_BYTES_MAX, "a body is bounded before it is compressed");
        let room = match self {
            Self::None => return None,
            Self::Lz4 => block::get_maximum_output_size(body.len()),
            Self::Zstd => zstd_safe::compress_bound(body.len()),
        };
        let mut stored = vec![0; LENGTH_BYTES + room];
        let (length, room) = stored.split_at_mut(LENGTH_BYTES);
        length.copy_from_slice(&(body.len() as u32).to_le_bytes());
        let len = match self {
            Self::None => unreachable!("returned above"),
            Self::Lz4 => block::compress_into(body, room).expect("the room is what lz4 asks for"),
            Self::Zstd => {
                let compressed = zstd::bulk::compress_to_buffer(body, room, ZSTD_LEVEL);
                compressed.expect("the room is what zstd asks for")
            }
        };
        stored.truncate(LENGTH_BYTES + len);
        (stored.len() < body.len()).then(|| Bytes::copy_from_slice(&stored))
    }

    /// The body that was stored as `stored`. Allocates the length that it states, once that is within bounds, and
    /// takes neither more nor fewer bytes for an answer.
    pub fn expand(self, stored: &Bytes) -> Result<Bytes, Error> {
        if self == Self::None {
            return Ok(stored.clone());
        }
        let mut body = vec![0; self.expanded_len(stored)?];
        let data = &stored[LENGTH_BYTES..];
        let malformed = |what| Error::Compressed { compression: self.name(), what };
        let len = match self {
            Self::None => unreachable!("returned above"),
            Self::Lz4 => {
                block::decompress_into(data, &mut body).map_err(|_| malformed("its block is malformed"))?
            }
            Self::Zstd => {
                // zstd itself would go on to a second frame, or pass over one that it is told to skip.
                if zstd_safe::find_frame_compressed_size(data) != Ok(data.len()) {
                    return Err(malformed("it is not exactly one zstd frame"));
                }
                zstd::bulk::decompress_to_buffer(data, &mut body[..])
                    .map_err(|_| malformed("its frame is malformed"))?
            }
        };
        if len != body.len() {
            return Err(malformed("it is shorter than the length it states"));
        }
        Ok(body.into())
    }

    /// The length of the body that was stored as `stored`, by its own word: within bounds, but not proved.
    pub fn expanded_len(self, stored: &[u8]) -> Result<usize, Error> {
        if self == Self::None {
            return Ok(stored.len());
        }
        let Some(length) = stored.first_chunk::<LENGTH_BYTES>() else {
            return Err(Error::Short { needed: LENGTH_BYTES, available: stored.len() });
        };
        let len = u32::from_le_bytes(*length) as usize;
        if len == 0 {
            return Err(Error::Field { field: "decompressed length", found: 0 });
        }
        if len > BODY_BYTES_MAX {
            let (found, max) = (len as u64, BODY_BYTES_MAX as u64);
            return Err(Error::TooLarge { field: "decompressed length", found, max });
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const CODECS: [Compression; 2] = [Compression::Lz4, Compression::Zstd];

    /// Bytes that state `len` as their decompressed length.
    fn stating(len: usize, data: &[u8]) -> Bytes {
        [&(len as u32).to_le_bytes()[..], data].concat().into()
    }

    fn some_body() -> impl Strategy<Value = Vec<u8>> {
        vec((any::<u8>(), 0..300_usize), 0..40)
            .prop_map(|runs| runs.into_iter().flat_map(|(byte, len)| vec![byte; len]).collect())
    }

    proptest! {
        #[test]
        fn what_shrank_expands_to_what_it_was(body in some_body()) {
            for codec in CODECS {
                let Some(stored) = codec.shrink(&body) else { continue };
                prop_assert!(stored.len() < body.len());
                prop_assert_eq!(codec.expanded_len(&stored).unwrap(), body.len());
                prop_assert_eq!(codec.expand(&stored).unwrap(), body.clone());
            }
        }

        #[test]
        fn foreign_bytes_expand_to_the_length_they_state_or_not_at_all(stored in vec(any::<u8>(), 0..300), len in 0..2000_usize) {
            for codec in CODECS {
                if let Ok(body) = codec.expand(&stating(len, &stored)) {
                    prop_assert_eq!(body.len(), len);
                }
                let _ = codec.expand(&stored.clone().into());
            }
        }

        #[test]
        fn a_damaged_body_expands_to_the_length_it_states_or_not_at_all(body in some_body(), at: prop::sample::Index, bit in 0..8_u8) {
            for codec in CODECS {
                let Some(stored) = codec.shrink(&body) else { continue };
                let mut stored = stored.to_vec();
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
                let stated = codec.expanded_len(&stored);
                if let Ok(body) = codec.expand(&stored.into()) {
                    prop_assert_eq!(Ok(body.len()), stated);
                }
            }
        }
    }

    #[test]
    fn a_body_that_does_not_shrink_is_left_as_it_is() {
        let noise: Vec<u8> =
            (0..1000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for codec in CODECS {
            for body in [&[][..], b"a", b"abcdefgh", &noise] {
                assert_eq!(codec.shrink(body), None, "{codec:?} of {} bytes", body.len());
            }
        }
        assert_eq!(Compression::None.shrink(&[0; 1000]), None);
    }

    #[test]
    fn a_body_as_large_as_any_may_be_comes_back() {
        let body = vec![7; BODY_BYTES_MAX];
        for codec in CODECS {
            assert_eq!(codec.expand(&codec.shrink(&body).unwrap()).unwrap(), body);
        }
    }

    #[test]
    fn a_bomb_is_refused_by_the_length_it_states_or_by_the_one_it_has() {
        let bomb = vec![0; BODY_BYTES_MAX + 1];
        let packed = [block::compress(&bomb), zstd::encode_all(&bomb[..], 19).unwrap()];
        for (codec, data) in CODECS.into_iter().zip(packed) {
            assert!(data.len() < 20_000, "{codec:?}: a bomb is small");
            let honest = codec.expand(&stating(bomb.len(), &data)).unwrap_err();
            assert!(matches!(honest, Error::TooLarge { field: "decompressed length", .. }), "{honest}");
            let most = stating(u32::MAX as usize, &data);
            assert!(matches!(codec.expand(&most), Err(Error::TooLarge { .. })));
            for lie in [1, 1000, BODY_BYTES_MAX] {
                let error = codec.expand(&stating(lie, &data)).unwrap_err();
                assert!(matches!(error, Error::Compressed { .. }), "{codec:?} states {lie}: {error}");
            }
        }
    }

    #[test]
    fn a_length_above_the_real_one_is_a_lie_too() {
        let body = vec![7; 1000];
        for codec in CODECS {
            let stored = codec.shrink(&body).unwrap();
            let error = codec.expand(&stating(1001, &stored[LENGTH_BYTES..])).unwrap_err();
            assert!(matches!(error, Error::Compressed { .. }), "{codec:?}: {error}");
        }
    }

    #[test]
    fn nothing_hides_beside_the_one_zstd_frame() {
        let body = vec![7; 1000];
        let one = zstd::encode_all(&body[..], 3).unwrap();
        let empty = zstd::encode_all(&[][..], 3).unwrap();
        let skippable = [&0x184D_2A50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"hide"].concat();
        for beside in [&one, &empty, &skippable, &vec![0]] {
            for data in [[&one[..], &beside[..]].concat(), [&beside[..], &one[..]].concat()] {
                assert!(Compression::Zstd.expand(&stating(1000, &data)).is_err());
            }
        }
        for data in [&skippable, &empty] {
            assert!(Compression::Zstd.expand(&stating(0, data)).is_err());
        }
        assert_eq!(Compression::Zstd.expand(&stating(1000, &one)).unwrap(), body);
    }
}
