//! CRC-64 with the polynomial of ISO 3309, as Go's `crc64.ISO`, without tables.
//!
//! The polynomial is x⁶⁴ + x⁴ + x³ + x + 1, so x⁶⁴ is x⁴ + x³ + x + 1 =: q, and taking a word in (a multiplication by
//! x⁶⁴) is a few shifts. In the reflected form bit 63 is x⁰: a shift to the right multiplies by x, and what falls out
//! below is a multiple of x⁶⁴.

/// A sum under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crc64(u64);

/// `value` times q, without what falls out.
fn times_q(value: u64) -> u64 {
    value ^ value >> 1 ^ value >> 3 ^ value >> 4
}

/// `value` times x⁶⁴.
fn times_x64(value: u64) -> u64 {
    let fallen = value << 63 ^ value << 61 ^ value << 60;
    times_q(value ^ fallen)
}

/// `value` times x¹²⁸, that is times q² = x⁸ + x⁶ + x² + 1.
fn times_x128(value: u64) -> u64 {
    let fallen = value << 62 ^ value << 58 ^ value << 56;
    value ^ value >> 2 ^ value >> 6 ^ value >> 8 ^ times_q(fallen)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

impl Crc64 {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut crc = !self.0;
        let mut pairs = bytes.chunks_exact(16);
        for pair in &mut pairs {
            // Two words at once: the second does not wait for the first.
            crc = times_x128(crc ^ word(&pair[..8])) ^ times_x64(word(&pair[8..]));
        }
        for &byte in pairs.remainder() {
            crc = crc >> 8 ^ times_q((crc ^ u64::from(byte)) << 56);
        }
        self.0 = !crc;
    }

    /// As Go's `Sum`: big-endian.
    pub(crate) fn finish(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_go() {
        // From the golden table of Go's hash/crc64 tests.
        let check = |text: &str, expect: u64| {
            let mut crc = Crc64::default();
            crc.update(text.as_bytes());
            assert_eq!(u64::from_be_bytes(crc.finish()), expect, "{text}");
        };
        check("", 0);
        check("a", 0x3420_0000_0000_0000);
        check("abc", 0x3776_c420_0000_0000);
        check("abcdefgh", 0x0e21_b002_d367_76c4);
        check("abcdefghij", 0x7f5b_6e21_b002_d367);
    }

    #[test]
    fn words_sum_like_single_bits() {
        let bitwise = |bytes: &[u8]| {
            let mut crc = !0u64;
            for &byte in bytes {
                crc ^= u64::from(byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 {
                        crc >> 1 ^ 0xd800_0000_0000_0000
                    } else {
                        crc >> 1
                    };
                }
            }
            (!crc).to_be_bytes()
        };
        let data: Vec<u8> = (0..200u32).map(|n| (n * n * 31 % 257) as u8).collect();
        for length in 0..data.len() {
            let mut crc = Crc64::default();
            crc.update(&data[..length]);
            assert_eq!(crc.finish(), bitwise(&data[..length]), "{length} bytes");
        }
    }

    #[test]
    fn pieces_sum_like_the_whole() {
        let data: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        let mut whole = Crc64::default();
        whole.update(&data);
        let mut pieces = Crc64::default();
        for piece in data.chunks(13) {
            pieces.update(piece);
        }
        assert_eq!(whole.finish(), pieces.finish());
    }
}
