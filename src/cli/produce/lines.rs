//! Lines of a file or of stdin, compressed or not, never longer than a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum LineError {
    #[error("the line is over {max} bytes, the limit of a record; split it, or leave it out")]
    TooLong { max: usize },
    #[error("cannot be read: {0}; nothing after this line was sent")]
    Io(#[from] io::Error),
}

/// Where records come from.
pub(in crate::cli) struct Lines {
    name: String,
    reader: Box<dyn BufRead + Send>,
    line_bytes_max: usize,
    line_number: u64,
}

impl Lines {
    /// Opens `path`, or stdin. A name that ends in `.zst` is decompressed as it is read.
    pub(in crate::cli) fn open(path: Option<&Path>, line_bytes_max: usize) -> io::Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(Self::new("stdin", Box::new(BufReader::new(io::stdin())), line_bytes_max));
        };
        let file = File::open(path)?;
        let compressed = path.extension().is_some_and(|extension| extension == "zst");
        let reader: Box<dyn BufRead + Send> =
            if compressed { decompress(file)? } else { Box::new(BufReader::with_capacity(1 << 16, file)) };
        Ok(Self::new(&path.display().to_string(), reader, line_bytes_max))
    }

    /// Reads zstd-compressed bytes held in memory.
    pub(in crate::cli) fn embedded(
        name: &str,
        bytes: &'static [u8],
        line_bytes_max: usize,
    ) -> io::Result<Self> {
        Ok(Self::new(name, decompress(bytes)?, line_bytes_max))
    }

    fn new(name: &str, reader: Box<dyn BufRead + Send>, line_bytes_max: usize) -> Self {
        Self { name: name.to_owned(), reader, line_bytes_max, line_number: 0 }
    }

    /// `file:line` of the line read last.
    pub(in crate::cli) fn place(&self) -> String {
        format!("{}:{}", self.name, self.line_number)
    }

    /// The next line without its line feed; `None` at the end. Holds no more than the bound in memory.
    pub(in crate::cli) fn next_line(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        self.line_number += 1;
        let mut line = Vec::new();
        let bound = self.line_bytes_max as u64 + 1;
        self.reader.by_ref().take(bound).read_until(b'\n', &mut line)?;
        match line.last() {
            None => Ok(None),
            Some(b'\n') => {
                line.pop();
                Ok(Some(line))
            }
            Some(_) if line.len() > self.line_bytes_max => {
                Err(LineError::TooLong { max: self.line_bytes_max })
            }
            Some(_) => Ok(Some(line)),
        }
    }
}

fn decompress(compressed: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    Ok(Box::new(BufReader::with_capacity(1 << 16, zstd::stream::read::Decoder::new(compressed)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str, max: usize) -> Lines {
        Lines::new("f", Box::new(text.as_bytes()), max)
    }

    fn all(mut lines: Lines) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(String::from_utf8(line).unwrap());
        }
        found
    }

    #[test]
    fn the_last_line_counts_with_or_without_its_line_feed_and_empty_ones_count() {
        assert_eq!(all(lines("a\n\nb", 10)), ["a", "", "b"]);
        assert_eq!(all(lines("a\n\nb\n", 10)), ["a", "", "b"]);
        assert!(all(lines("", 10)).is_empty());
    }

    #[test]
    fn a_line_of_the_limit_passes_and_one_byte_more_is_refused_with_its_place() {
        assert_eq!(all(lines("abc\nabc", 3)), ["abc", "abc"]);
        let mut long = lines("abc\nabcd\n", 3);
        assert!(long.next_line().is_ok());
        assert!(matches!(long.next_line(), Err(LineError::TooLong { max: 3 })));
        assert_eq!(long.place(), "f:2");
    }

    #[test]
    fn compressed_lines_read_as_they_were() {
        let compressed: &'static [u8] = Box::leak(zstd::encode_all("x\ny\n".as_bytes(), 3).unwrap().into());
        assert_eq!(all(Lines::embedded("e", compressed, 10).unwrap()), ["x", "y"]);
    }

    #[test]
    fn a_compressed_file_that_ends_early_is_an_error_and_not_an_end() {
        let whole = zstd::encode_all(&vec![b'a'; 100_000][..], 3).unwrap();
        let torn: &'static [u8] = Box::leak(whole[..whole.len() - 4].to_vec().into());
        assert!(matches!(Lines::embedded("e", torn, 1 << 20).unwrap().next_line(), Err(LineError::Io(_))));
    }
}
