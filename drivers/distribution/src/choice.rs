//! Which of several certificates of our own is shown: the first that the server says it can judge, as docker does.

use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;

/// The tag of a SEQUENCE in DER (X.690, 8.9).
const SEQUENCE: u8 = 0x30;
/// The tag of the version in a certificate (RFC 5280, 4.1); it may be missing.
const VERSION: u8 = 0xa0;

/// All certificates of one registry's folders, in the order of their names.
#[derive(Debug)]
pub(crate) struct Choice {
    identities: Vec<(Arc<CertifiedKey>, Vec<Vec<u8>>)>,
}

impl Choice {
    pub(crate) fn new(identities: Vec<Arc<CertifiedKey>>) -> Self {
        let with_issuers = |identity: Arc<CertifiedKey>| {
            let issuers = identity.cert.iter().filter_map(|one| issuer(one));
            let issuers = issuers.map(<[u8]>::to_vec).collect();
            (identity, issuers)
        };
        Self {
            identities: identities.into_iter().map(with_issuers).collect(),
        }
    }
}

impl ResolvesClientCert for Choice {
    fn resolve(&self, authorities: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fits = |(identity, issuers): &&(Arc<CertifiedKey>, Vec<Vec<u8>>)| {
            let judged = issuers.iter().any(|own| authorities.contains(&own.as_slice()));
            (authorities.is_empty() || judged) && identity.key.choose_scheme(schemes).is_some()
        };
        let (identity, _) = self.identities.iter().find(fits)?;
        Some(Arc::clone(identity))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Who issued a certificate: the distinguished name in DER, as servers send those of the authorities that they know.
fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (tag, outer, _) = element(certificate)?;
    let (inner_tag, mut fields, _) = element(outer)?;
    if tag != SEQUENCE || inner_tag != SEQUENCE {
        return None;
    }
    // Version (or not), serial number, signature algorithm, issuer.
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    let after_serial = element(fields)?.2;
    let here = element(after_serial)?.2;
    let (tag, _, rest) = element(here)?;
    (tag == SEQUENCE).then(|| &here[..here.len() - rest.len()])
}

/// The first element of some DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // The length of a longer one stands in the next one to four bytes.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_has_no_issuer() {
        // SEQUENCE { SEQUENCE { [0] version, INTEGER 1, SEQUENCE {}, SEQUENCE { NULL } } }
        let whole = [
            0x30, 0x10, 0x30, 0x0e, 0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01, 0x30, 0x00, 0x30, 0x02,
            0x05, 0x00,
        ];
        assert_eq!(issuer(&whole), Some(&[0x30, 0x02, 0x05, 0x00][..]));
        for length in 0..whole.len() {
            assert_eq!(issuer(&whole[..length]), None, "{length}");
        }
        assert_eq!(issuer(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
