//! What a stream is compressed with, seen by its first bytes, and its decompression in bounded memory.

use std::io::{self, BufRead, Cursor, Read};

/// A way to compress a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
    /// xz (LZMA2).
    Xz,
    /// bzip2.
    Bzip2,
}

impl Compression {
    /// What begins with `magic` (six bytes are enough); anything unknown is [`Compression::None`].
    pub fn detect(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame (RFC 8878, 3.1.2), which seekable zstd writers put first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            _ => Self::None,
        }
    }
}

/// The decompressed stream.
pub type Decoder<'a> = Box<dyn Read + Send + 'a>;

/// The most memory that a decoder may take for its window: what `xz -9` and `zstd --long=27` need, and no more.
const LARGEST_WINDOW: u32 = 128 << 20;

/// Detects how `source` is compressed and yields its plain content. Concatenated members are one stream.
///
/// # Errors
/// Those of reading the first bytes; damaged content is an error of the returned reader.
pub fn decompress<'a>(mut source: impl BufRead + Send + 'a) -> io::Result<(Compression, Decoder<'a>)> {
    let mut magic = Vec::new();
    (&mut source).take(6).read_to_end(&mut magic)?;
    let compression = Compression::detect(&magic);
    let source = Cursor::new(magic).chain(source);
    let decoder: Decoder<'a> = match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            decoder.window_log_max(LARGEST_WINDOW.ilog2())?;
            Box::new(decoder)
        }
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
            source,
            true,
            LARGEST_WINDOW / 1024 + 1024,
        )),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(source)),
    };
    Ok((compression, decoder))
}

#[cfg(test)]
#[expect(clippy::print_stderr, reason = "says which tests are skipped")]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    fn plain(packed: &[u8]) -> (Compression, io::Result<Vec<u8>>) {
        let (compression, mut decoder) = decompress(packed).unwrap();
        let mut bytes = Vec::new();
        let result = decoder.read_to_end(&mut bytes).map(|_| bytes);
        (compression, result)
    }

    /// What the command `tool` makes of `bytes`, `None` where it is not installed.
    fn packed_by(tool: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let spawned = Command::new(tool)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            eprintln!("skipped: no {tool} here");
            return None;
        };
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(bytes).unwrap());
            Some(child.wait_with_output().unwrap().stdout)
        })
    }

    #[test]
    fn every_compression_is_found_and_undone_also_when_members_are_concatenated() {
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let tools = [
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
            ("xz", Compression::Xz),
            ("bzip2", Compression::Bzip2),
        ];
        for (tool, expected) in tools {
            let Some(packed) = packed_by(tool, &text) else {
                continue;
            };
            let (compression, bytes) = plain(&packed);
            assert_eq!(compression, expected);
            assert!(bytes.unwrap() == text, "{tool}");
            let twice = plain(&[&packed[..], &packed].concat()).1.unwrap();
            assert!(twice == [&text[..], &text].concat(), "{tool} twice");
            assert!(
                plain(&packed[..packed.len() / 2]).1.is_err(),
                "half of {tool} is an error"
            );
        }
    }

    #[test]
    fn anything_else_is_passed_through_even_if_it_is_short() {
        for bytes in [&b""[..], b"B", b"BZ", b"plain text", b"\x1f\x8b"] {
            let (compression, passed) = plain(bytes);
            assert_eq!(
                (compression, passed.unwrap()),
                (Compression::None, bytes.to_vec())
            );
        }
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused_not_allocated() {
        // A zstd frame header that asks for a window of 2 GiB (RFC 8878, 3.1.1.1.2: exponent 21, mantissa 0).
        let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x01, 0x00, 0x00];
        assert!(plain(&greedy).1.is_err());
    }
}
