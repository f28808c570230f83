//! Chain ids: the name of a stack of layers, from the diff ids below and at it.

use crate::digest::Digest;

/// The chain ids of a stack: `ids[0] = diff_ids[0]`, `ids[n] = sha256(ids[n-1] + " " + diff_ids[n])`
/// (image-spec, "Layer ChainID").
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(parent) => next(parent, diff_id),
        });
    }
    chain
}

/// The chain id of one more layer on a stack.
pub fn next(parent: &Digest, diff_id: &Digest) -> Digest {
    Digest::sha256(format!("{parent} {diff_id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_chain_id_is_its_diff_id_and_order_matters() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let ab = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(ab[0], a);
        assert_eq!(ab[1], Digest::sha256(format!("{a} {b}")));
        assert_ne!(ab[1], chain_ids(&[b, a])[1]);
        assert!(chain_ids(&[]).is_empty());
    }
}
