//! Records inside a frame's body: encode, decode, prove.
//!
//! Knows nothing of frames, positions or timestamps. A body, once decompressed, is its records one after the
//! other, nothing between or after them. Walking it trusts no length before it is proved and allocates nothing.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | length of the rest of this record |
//! | 1 | flags: 1 key, 2 value, 4 event time; other bits zero |
//! | 1 | reserved, zero |
//! | 2 | number of headers |
//! | 8 | event time, ns, signed (if flagged) |
//! | 4 + n | key: length, bytes (if flagged) |
//! | 4 + n | value: length, bytes (if flagged) |
//! | (2 + n) + (4 + n) | per header: name's length, name (UTF-8), value's length, value |

use bytes::{BufMut, Bytes, BytesMut};

use super::{BODY_BYTES_MAX, Compression, Error, check_body_crc};
use crate::types::{Header, Record};

/// The largest record, as encoded.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

const FLAG_KEY: u8 = 1;
const FLAG_VALUE: u8 = 2;
const FLAG_EVENT_TIME: u8 = 4;
const FLAGS: u8 = FLAG_KEY | FLAG_VALUE | FLAG_EVENT_TIME;

/// A frame's body, ready to be framed: what the producer's CRC covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedBatch {
    /// As it will be stored.
    pub body: Bytes,
    pub compression: Compression,
    pub crc: u32,
    pub count: u32,
}

impl EncodedBatch {
    /// The same batch, compressed; one that does not shrink, or is compressed already, stays as it is.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Self {
        let smaller =
            if self.compression == Compression::None { compression.shrink(&self.body) } else { None };
        match smaller {
            Some(body) => Self { crc: crc32fast::hash(&body), body, compression, count: self.count },
            None => self,
        }
    }
}

/// Builds a body record by record.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    body: BytesMut,
    count: u32,
}

impl BatchBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record. A refused record leaves the batch as it was.
    pub fn push(&mut self, record: &Record) -> Result<(), Error> {
        let len = encoded_len(record)?;
        let total = self.body.len() + len;
        if total > BODY_BYTES_MAX {
            let (found, max) = (total as u64, BODY_BYTES_MAX as u64);
            return Err(Error::TooLarge { field: "body length", found, max });
        }
        self.body.reserve(len);
        put_record(&mut self.body, record, len);
        self.count += 1;
        Ok(())
    }

    /// Bytes of the body so far.
    pub fn len_bytes(&self) -> usize {
        self.body.len()
    }

    /// Records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Seals the batch; one without records is refused.
    pub fn finish(self) -> Result<EncodedBatch, Error> {
        if self.count == 0 {
            return Err(Error::Field { field: "record count", found: 0 });
        }
        let body = self.body.freeze();
        let (compression, crc) = (Compression::None, crc32fast::hash(&body));
        Ok(EncodedBatch { body, compression, crc, count: self.count })
    }
}

/// Bytes that `record` takes in a body; refused above `RECORD_BYTES_MAX` or with unstorable headers.
pub fn encoded_len(record: &Record) -> Result<usize, Error> {
    let sized = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, |bytes| 4 + bytes.len());
    if u16::try_from(record.headers.len()).is_err() {
        let found = record.headers.len() as u64;
        return Err(Error::TooLarge { field: "header count", found, max: u16::MAX.into() });
    }
    let mut len = 8 + record.event_time_ns.map_or(0, |_| 8) + sized(&record.key) + sized(&record.value);
    for header in &record.headers {
        if u16::try_from(header.name.len()).is_err() {
            let found = header.name.len() as u64;
            return Err(Error::TooLarge { field: "header name length", found, max: u16::MAX.into() });
        }
        len += 2 + header.name.len() + 4 + header.value.len();
    }
    if len > RECORD_BYTES_MAX {
        let (found, max) = (len as u64, RECORD_BYTES_MAX as u64);
        return Err(Error::TooLarge { field: "record length", found, max });
    }
    Ok(len)
}

fn put_record(body: &mut BytesMut, record: &Record, len: usize) {
    let flag = |present: bool, flag: u8| if present { flag } else { 0 };
    body.put_u32_le((len - 4) as u32);
    body.put_u8(
        flag(record.key.is_some(), FLAG_KEY)
            | flag(record.value.is_some(), FLAG_VALUE)
            | flag(record.event_time_ns.is_some(), FLAG_EVENT_TIME),
    );
    body.put_u8(0);
    body.put_u16_le(record.headers.len() as u16);
    if let Some(ns) = record.event_time_ns {
        body.put_i64_le(ns);
    }
    for bytes in [&record.key, &record.value].into_iter().flatten() {
        body.put_u32_le(bytes.len() as u32);
        body.put_slice(bytes);
    }
    for header in &record.headers {
        body.put_u16_le(header.name.len() as u16);
        body.put_slice(header.name.as_bytes());
        body.put_u32_le(header.value.len() as u32);
        body.put_slice(&header.value);
    }
}

/// Encodes a batch at once.
pub fn encode_records(records: &[Record]) -> Result<EncodedBatch, Error> {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.push(record)?;
    }
    builder.finish()
}

/// Proves that `body`, as stored, holds exactly `count` well-formed records. Allocates at most `BODY_BYTES_MAX`, and
/// nothing if it is not compressed.
pub fn validate_records(body: &Bytes, compression: Compression, count: u32) -> Result<(), Error> {
    prove(&compression.expand(body)?, count)
}

/// Proves a batch that a peer sent: that `body` has the CRC, the compression and the records that are claimed beside it.
/// Allocates as [`validate_records`] does.
pub fn validate_batch(body: &Bytes, crc: u32, compression: u32, count: u32) -> Result<Compression, Error> {
    check_body_crc(body, crc)?;
    let compression = u8::try_from(compression)
        .map_err(|_| Error::Field { field: "compression", found: compression.into() })
        .and_then(Compression::decode)?;
    validate_records(body, compression, count)?;
    Ok(compression)
}

/// The records of a body, as stored; keys and values are slices of it, or of what it decompresses to, not copies.
pub fn decode_records(body: &Bytes, compression: Compression, count: u32) -> Result<Vec<Record>, Error> {
    let body = &compression.expand(body)?;
    prove(body, count)?;
    let mut records = Vec::with_capacity(count as usize);
    walk(body, count, |found| records.push(found.to_record(body)))?;
    Ok(records)
}

/// Visits the records of a body, as stored, in order: each one's place in the batch and its key. Allocates as
/// `validate_records` does.
pub fn visit_keys(
    body: &Bytes,
    compression: Compression,
    count: u32,
    mut visit: impl FnMut(u32, Option<&[u8]>),
) -> Result<(), Error> {
    let mut at = 0;
    walk(&compression.expand(body)?, count, |found| {
        visit(at, found.key);
        at += 1;
    })
}

fn prove(body: &[u8], count: u32) -> Result<(), Error> {
    if count == 0 {
        return Err(Error::Field { field: "record count", found: 0 });
    }
    walk(body, count, |_| ())
}

/// A record found in a body, still as borrowed bytes. `headers` is proved.
struct Found<'a> {
    event_time_ns: Option<i64>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    header_count: u16,
    headers: &'a [u8],
}

impl Found<'_> {
    fn to_record(&self, body: &Bytes) -> Record {
        let mut cursor = Cursor(self.headers);
        let mut headers = Vec::with_capacity(self.header_count.into());
        for _ in 0..self.header_count {
            let (name, value) = cursor.header().expect("headers were proved by the walk");
            headers.push(Header { name: name.to_owned(), value: body.slice_ref(value) });
        }
        Record {
            key: self.key.map(|key| body.slice_ref(key)),
            value: self.value.map(|value| body.slice_ref(value)),
            headers,
            event_time_ns: self.event_time_ns,
        }
    }
}

fn walk<'a>(body: &'a [u8], count: u32, mut visit: impl FnMut(&Found<'a>)) -> Result<(), Error> {
    let mut rest = Cursor(body);
    for record in 0..count {
        let malformed = |what| Error::Record { record, count, what };
        let len = rest.u32().map_err(malformed)? as usize;
        if len > RECORD_BYTES_MAX - 4 {
            let (found, max) = (len as u64 + 4, RECORD_BYTES_MAX as u64);
            return Err(Error::TooLarge { field: "record length", found, max });
        }
        let bytes = rest.take(len).map_err(malformed)?;
        visit(&parse_record(bytes).map_err(malformed)?);
    }
    if rest.0.is_empty() {
        Ok(())
    } else {
        Err(Error::Record { record: count, count, what: "bytes follow the last record" })
    }
}

fn parse_record(bytes: &[u8]) -> Result<Found<'_>, &'static str> {
    let mut cursor = Cursor(bytes);
    let (flags, reserved, header_count) = (cursor.u8()?, cursor.u8()?, cursor.u16()?);
    if flags & !FLAGS != 0 || reserved != 0 {
        return Err("undefined flags are set");
    }
    let event_time_ns = if flags & FLAG_EVENT_TIME == 0 { None } else { Some(cursor.i64()?) };
    let key = if flags & FLAG_KEY == 0 { None } else { Some(cursor.sized()?) };
    let value = if flags & FLAG_VALUE == 0 { None } else { Some(cursor.sized()?) };
    let headers = cursor.0;
    for _ in 0..header_count {
        cursor.header()?;
    }
    if cursor.0.is_empty() {
        Ok(Found { event_time_ns, key, value, header_count, headers })
    } else {
        Err("its length exceeds its content")
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        Ok(self.take(N)?.try_into().expect("take gives N bytes"))
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        self.array().map(i64::from_le_bytes)
    }

    fn sized(&mut self) -> Result<&'a [u8], &'static str> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn header(&mut self) -> Result<(&'a str, &'a [u8]), &'static str> {
        let len = usize::from(self.u16()?);
        let name = std::str::from_utf8(self.take(len)?).map_err(|_| "a header's name is not UTF-8")?;
        Ok((name, self.sized()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn proved(batch: &EncodedBatch, crc: u32, compression: u32, count: u32) -> Result<Compression, Error> {
        validate_batch(&batch.body, crc, compression, count)
    }

    #[test]
    fn a_batch_is_taken_with_its_own_crc_compression_and_count_alone() {
        let record = Record { value: Some(Bytes::from(vec![7; 1000])), ..Record::default() };
        for compression in Compression::ALL {
            let batch = encode_records(std::slice::from_ref(&record)).unwrap().compressed(compression);
            let stored = compression as u32;
            assert_eq!(proved(&batch, batch.crc, stored, 1), Ok(compression));
            assert!(matches!(proved(&batch, batch.crc ^ 1, stored, 1), Err(Error::BodyCrc { .. })));
            assert!(proved(&batch, batch.crc, (stored + 1) % 3, 1).is_err());
            assert!(matches!(proved(&batch, batch.crc, stored + 256, 1), Err(Error::Field { .. })));
            assert!(
                proved(&batch, batch.crc, stored, 2).is_err()
                    && proved(&batch, batch.crc, stored, 0).is_err()
            );
        }
    }

    fn some_bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..64).prop_map(Bytes::from)
    }

    fn some_record() -> impl Strategy<Value = Record> {
        let header = ("\\PC{0,12}", some_bytes()).prop_map(|(name, value)| Header { name, value });
        (option::of(some_bytes()), option::of(some_bytes()), vec(header, 0..4), option::of(any::<i64>()))
            .prop_map(|(key, value, headers, event_time_ns)| Record { key, value, headers, event_time_ns })
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(records in vec(some_record(), 1..20)) {
            let batch = encode_records(&records).unwrap();
            for compression in Compression::ALL {
                let batch = batch.clone().compressed(compression);
                prop_assert_eq!(batch.crc, crc32fast::hash(&batch.body));
                prop_assert_eq!(decode_records(&batch.body, batch.compression, batch.count).unwrap(), records.clone());
            }
        }

        #[test]
        fn a_body_holds_exactly_its_count(records in vec(some_record(), 1..10), claimed in 0_u32..20) {
            let batch = encode_records(&records).unwrap();
            for compression in Compression::ALL {
                let batch = batch.clone().compressed(compression);
                let proved = validate_records(&batch.body, batch.compression, claimed).is_ok();
                prop_assert_eq!(proved, claimed == batch.count);
            }
        }

        #[test]
        fn a_body_cut_short_is_refused(records in vec(some_record(), 1..5), cut in any::<prop::sample::Index>()) {
            let batch = encode_records(&records).unwrap();
            for compression in Compression::ALL {
                let batch = batch.clone().compressed(compression);
                let cut = batch.body.slice(..cut.index(batch.body.len()));
                prop_assert!(decode_records(&cut, batch.compression, batch.count).is_err());
            }
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(body in vec(any::<u8>(), 0..256), count in any::<u32>()) {
            let body = Bytes::from(body);
            for compression in Compression::ALL {
                let proved = validate_records(&body, compression, count).is_ok();
                prop_assert_eq!(decode_records(&body, compression, count).is_ok(), proved);
            }
        }
    }

    #[test]
    fn values_are_slices_of_the_body() {
        let record = Record { value: Some(Bytes::from(vec![7; 1000])), ..Record::default() };
        let batch = encode_records(&[record]).unwrap();
        let value = decode_records(&batch.body, Compression::None, 1).unwrap().remove(0).value.unwrap();
        assert!(batch.body.as_ptr_range().contains(&value.as_ptr()));
    }

    #[test]
    fn a_batch_is_compressed_once_and_only_if_it_shrinks() {
        let record = |len| Record { value: Some(Bytes::from(vec![7; len])), ..Record::default() };
        let large = encode_records(&[record(1000)]).unwrap();
        let stored = large.clone().compressed(Compression::Zstd);
        assert_eq!((stored.compression, stored.count), (Compression::Zstd, 1));
        assert_eq!(stored.clone().compressed(Compression::Lz4), stored);
        let small = encode_records(&[record(1)]).unwrap();
        assert_eq!(small.clone().compressed(Compression::Lz4), small);
    }

    #[test]
    fn a_refused_record_leaves_the_batch_as_it_was() {
        let mut builder = BatchBuilder::new();
        builder.push(&Record::default()).unwrap();
        let large = Record { value: Some(Bytes::from(vec![0; RECORD_BYTES_MAX])), ..Record::default() };
        assert!(matches!(builder.push(&large), Err(Error::TooLarge { field: "record length", .. })));
        assert_eq!((builder.count(), builder.len_bytes()), (1, 8));
        assert!(BatchBuilder::new().finish().is_err());
    }
}
