//! Cuts a stream of bytes into lines, and lines longer than 16 KiB into pieces.

use crate::Stream;

/// A line is cut here, as Docker's log copier does.
pub(crate) const LONGEST: usize = 16 * 1024;

/// What follows a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The line is complete (its line feed is not part of the piece).
    Line,
    /// The line goes on in the next piece, or the stream ended without a line feed.
    Open,
}

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    pending: Vec<u8>,
    /// The piece before was cut, so that the next one continues a line.
    continues: bool,
}

/// One piece: its bytes, what follows, and whether it continues a line begun before.
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) end: End,
    pub(crate) continues: bool,
}

/// The unfinished lines of both streams.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    splitters: [Splitter; 2],
}

impl Lines {
    pub(crate) fn of(&mut self, stream: Stream) -> &mut Splitter {
        &mut self.splitters[stream as usize]
    }

    /// The unfinished line of a stream.
    pub(crate) fn pending(&self, stream: Stream) -> &[u8] {
        self.splitters[stream as usize].pending()
    }

    /// Gives memory back that only bursts need.
    pub(crate) fn shrink(&mut self) {
        self.splitters.iter_mut().for_each(Splitter::shrink);
    }
}

impl Splitter {
    /// Takes bytes and emits every piece that is complete; stops at the first error.
    pub(crate) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut emit: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let room = LONGEST - self.pending.len();
            let window = &bytes[..bytes.len().min(room)];
            let (taken, end) = match find_line_feed(window) {
                Some(at) => (at, Some(End::Line)),
                None if window.len() == room => (window.len(), Some(End::Open)),
                None => (window.len(), None),
            };
            let Some(end) = end else {
                self.pending.extend_from_slice(window);
                return Ok(());
            };
            // A cut never goes through a UTF-8 character: its first bytes wait for the rest.
            let kept_back = if end == End::Open {
                self.torn_character(&window[..taken])
            } else {
                0
            };
            let continues = std::mem::replace(&mut self.continues, end == End::Open);
            if self.pending.is_empty() {
                let piece = &window[..taken - kept_back];
                let result = emit(Piece {
                    bytes: piece,
                    end,
                    continues,
                });
                bytes = &bytes[taken - kept_back + usize::from(end == End::Line)..];
                result?;
            } else {
                self.pending.extend_from_slice(&window[..taken]);
                let whole = std::mem::take(&mut self.pending);
                let cut = whole.len() - kept_back;
                bytes = &bytes[taken + usize::from(end == End::Line)..];
                let result = emit(Piece {
                    bytes: &whole[..cut],
                    end,
                    continues,
                });
                self.pending = whole;
                self.pending.drain(..cut);
                result?;
            }
        }
        Ok(())
    }

    /// How many of the last bytes of `pending` + `window` begin a character that is not complete.
    fn torn_character(&self, window: &[u8]) -> usize {
        let last = |back: usize| {
            let at = window.len().checked_sub(back);
            match at {
                Some(at) => Some(window[at]),
                None => self
                    .pending
                    .len()
                    .checked_sub(back - window.len())
                    .map(|at| self.pending[at]),
            }
        };
        for back in 1..=3 {
            match last(back) {
                Some(0x80..=0xbf) => {}
                Some(first) => {
                    let length = match first {
                        0xc2..=0xdf => 2,
                        0xe0..=0xef => 3,
                        0xf0..=0xf4 => 4,
                        _ => 1,
                    };
                    return if length > back { back } else { 0 };
                }
                None => return 0,
            }
        }
        0
    }

    /// The stream is over: what is unfinished becomes a last piece.
    pub(crate) fn finish<E>(&mut self, emit: impl FnOnce(Piece<'_>) -> Result<(), E>) -> Result<(), E> {
        let rest = std::mem::take(&mut self.pending);
        let continues = std::mem::take(&mut self.continues);
        if rest.is_empty() {
            return Ok(());
        }
        emit(Piece {
            bytes: &rest,
            end: End::Open,
            continues,
        })
    }

    /// The unfinished line.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Gives the buffer's memory back if nothing is in it.
    pub(crate) fn shrink(&mut self) {
        self.pending.shrink_to_fit();
    }
}

/// Position of the first line feed.
pub(crate) fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let mut at = 0;
    for block in bytes.chunks_exact(BLOCK) {
        // Without an early exit, so that the loop is vectorised.
        if block.iter().fold(false, |found, byte| found | (*byte == b'\n')) {
            break;
        }
        at += BLOCK;
    }
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map(|found| at + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(inputs: &[&[u8]]) -> Vec<(Vec<u8>, End, bool)> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        let mut emit = |piece: Piece<'_>| {
            out.push((piece.bytes.to_vec(), piece.end, piece.continues));
            Ok::<_, std::convert::Infallible>(())
        };
        for input in inputs {
            splitter.feed(input, &mut emit).expect("infallible");
        }
        splitter.finish(&mut emit).expect("infallible");
        out
    }

    #[test]
    fn lines_are_joined_across_reads() {
        let got = pieces(&[b"a", b"b\nc\n\n", b"d"]);
        let line = |text: &[u8], end| (text.to_vec(), end, false);
        assert_eq!(
            got,
            [
                line(b"ab", End::Line),
                line(b"c", End::Line),
                line(b"", End::Line),
                line(b"d", End::Open)
            ]
        );
    }

    #[test]
    fn a_long_line_is_cut_at_16_kib_however_it_arrives() {
        let mut long = vec![b'x'; 2 * LONGEST + 5];
        long.push(b'\n');
        let wanted = [
            (vec![b'x'; LONGEST], End::Open, false),
            (vec![b'x'; LONGEST], End::Open, true),
            (vec![b'x'; 5], End::Line, true),
        ];
        assert_eq!(pieces(&[&long]), wanted);
        let small: Vec<&[u8]> = long.chunks(1000).collect();
        assert_eq!(pieces(&small), wanted);
        assert_eq!(
            pieces(&[&long[LONGEST + 5..]]),
            [(vec![b'x'; LONGEST], End::Open, false), (vec![], End::Line, true)]
        );
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        let mut long = vec![b'x'; LONGEST - 1];
        long.extend_from_slice("€\n".as_bytes());
        let wanted = [
            (vec![b'x'; LONGEST - 1], End::Open, false),
            ("€".as_bytes().to_vec(), End::Line, true),
        ];
        assert_eq!(pieces(&[&long]), wanted);
        let small: Vec<&[u8]> = long.chunks(7).collect();
        assert_eq!(pieces(&small), wanted);
    }
}
