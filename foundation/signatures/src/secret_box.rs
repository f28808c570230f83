//! NaCl's secretbox (XSalsa20 and Poly1305) under a key from a passphrase (scrypt): how cosign keeps private keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit, StreamCipher};
use serde::{Deserialize, Serialize};

use crate::SignatureError;

const KEY: usize = 32;
const SALT: usize = 32;
const NONCE: usize = 24;
const TAG: usize = 16;
/// cosign's: 2^15 rounds, 32 MiB.
const LOG_N: u8 = 15;
/// A file that asks for more (a gigabyte) is not one of ours.
const MOST_LOG_N: u8 = 20;
const R: u32 = 8;
const P: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

fn derive(passphrase: &[u8], salt: &[u8], log_n: u8, r: u32, p: u32) -> Result<[u8; KEY], SignatureError> {
    let params =
        scrypt::Params::new(log_n, r, p).map_err(|_| SignatureError::Key("scrypt's parameters are wrong"))?;
    let mut key = [0; KEY];
    scrypt::scrypt(passphrase, salt, &params, &mut key)
        .map_err(|_| SignatureError::Key("scrypt's parameters are wrong"))?;
    Ok(key)
}

/// The cipher behind the bytes that it gives for the authenticator, and that authenticator (NaCl, «crypto_secretbox»).
fn machine(key: &[u8; KEY], nonce: &[u8; NONCE]) -> (XSalsa20, Poly1305) {
    let mut cipher = XSalsa20::new(&(*key).into(), &(*nonce).into());
    let mut one_time = [0; KEY];
    cipher.apply_keystream(&mut one_time);
    (cipher, Poly1305::new(&one_time.into()))
}

/// Seals `plain`; `random` is salt and nonce, and must never be used again.
pub(crate) fn seal(
    plain: &[u8],
    passphrase: &[u8],
    random: &[u8; SALT + NONCE],
) -> Result<Vec<u8>, SignatureError> {
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    salt.copy_from_slice(&random[..SALT]);
    nonce.copy_from_slice(&random[SALT..]);
    let key = derive(passphrase, &salt, LOG_N, R, P)?;
    let (mut cipher, authenticator) = machine(&key, &nonce);
    let mut text = plain.to_vec();
    cipher.apply_keystream(&mut text);
    let tag = authenticator.compute_unpadded(&text);
    let sealed = Sealed {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params {
                n: 1 << LOG_N,
                r: R,
                p: P,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode([tag.as_slice(), &text].concat()),
    };
    serde_json::to_vec(&sealed).map_err(|_| SignatureError::Key("it has no JSON form"))
}

/// Opens what [`seal`] or cosign sealed.
pub(crate) fn open(sealed: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let broken = SignatureError::Key("the sealed key cannot be read");
    let sealed: Sealed = serde_json::from_slice(sealed).map_err(|_| broken.clone())?;
    if sealed.kdf.name != "scrypt" || sealed.cipher.name != "nacl/secretbox" {
        return Err(SignatureError::Key(
            "it is sealed in a way that is not known here",
        ));
    }
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| broken.clone());
    let Params { n, r, p } = sealed.kdf.params;
    let log_n = u8::try_from(n.checked_ilog2().unwrap_or(0)).unwrap_or(u8::MAX);
    if !n.is_power_of_two() || log_n > MOST_LOG_N || r > R || p > 16 {
        return Err(SignatureError::Key("scrypt's parameters are wrong"));
    }
    let key = derive(passphrase, &bytes(&sealed.kdf.salt)?, log_n, r, p)?;
    let nonce = <[u8; NONCE]>::try_from(bytes(&sealed.cipher.nonce)?).map_err(|_| broken.clone())?;
    let boxed = bytes(&sealed.ciphertext)?;
    let (tag, text) = boxed.split_at_checked(TAG).ok_or(broken)?;
    let (mut cipher, authenticator) = machine(&key, &nonce);
    // In constant time it need not be: whoever has the file may try passphrases at will.
    if authenticator.compute_unpadded(text).as_slice() != tag {
        return Err(SignatureError::Passphrase);
    }
    let mut plain = text.to_vec();
    cipher.apply_keystream(&mut plain);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nacls_own_example_comes_out() {
        // «Cryptography in NaCl», section 9: firstkey, nonce, and the first bytes of the box.
        let key: [u8; 32] = [
            0x1b, 0x27, 0x55, 0x64, 0x73, 0xe9, 0x85, 0xd4, 0x62, 0xcd, 0x51, 0x19, 0x7a, 0x9a, 0x46, 0xc7,
            0x60, 0x09, 0x54, 0x9e, 0xac, 0x64, 0x74, 0xf2, 0x06, 0xc4, 0xee, 0x08, 0x44, 0xf6, 0x83, 0x89,
        ];
        let nonce: [u8; 24] = [
            0x69, 0x69, 0x6e, 0xe9, 0x55, 0xb6, 0x2b, 0x73, 0xcd, 0x62, 0xbd, 0xa8, 0x75, 0xfc, 0x73, 0xd6,
            0x82, 0x19, 0xe0, 0x03, 0x6b, 0x7a, 0x0b, 0x37,
        ];
        let (mut cipher, _) = machine(&key, &nonce);
        let mut text = [0xbe, 0x07, 0x5f, 0xc5, 0x3c, 0x81, 0xf2, 0xd5];
        cipher.apply_keystream(&mut text);
        assert_eq!(text, [0x8e, 0x99, 0x3b, 0x9f, 0x48, 0x68, 0x12, 0x73]);
    }

    #[test]
    fn only_the_passphrase_opens_and_changes_are_seen() {
        let sealed = seal(b"secret", b"word", &[3; 56]).unwrap();
        assert_eq!(open(&sealed, b"word").unwrap(), b"secret");
        assert_eq!(open(&sealed, b"sword"), Err(SignatureError::Passphrase));
        let text = String::from_utf8(sealed).unwrap();
        let greedy = text.replace("32768", "1073741824");
        assert_eq!(
            open(greedy.as_bytes(), b"word"),
            Err(SignatureError::Key("scrypt's parameters are wrong"))
        );
        assert!(open(b"{}", b"word").is_err());
    }
}
