//! Layers of an archive that are here already, where their names do not say so (Docker's archives of before 25).
//!
//! A small one is read and known by its digest. A large one is held against a layer of the same length while it comes:
//! only where the two part is it unpacked, with what they had in common taken from the one that is here.

use std::io::{Read, Write, copy, sink};
use std::sync::Arc;

use oci::digest::Digest;

use super::members::Layer;
use crate::ImageError;
use crate::error::stream;
use crate::layers::{Layers, Pin, Staged, piped};

/// What is kept in memory.
const SMALL: u64 = 1 << 20;
/// What is compared at a time.
const CHUNK: u64 = 64 << 10;

/// A plain archive of this length: a layer that is here, or else unpacked.
pub(super) fn known_or_staged(
    layers: &Arc<Layers>,
    length: u64,
    mut plain: impl Read + Send,
) -> Result<Layer, ImageError> {
    if length <= SMALL {
        let mut bytes = Vec::new();
        plain
            .take(SMALL + 1)
            .read_to_end(&mut bytes)
            .map_err(stream("read layer"))?;
        return match layers.pin_content(&Digest::sha256(&bytes)) {
            Some(pin) => Ok(Layer::Known(pin)),
            None => staged(layers.stage(None, bytes.as_slice())?),
        };
    }
    let Some(pin) = layers.pin_length(length) else {
        return staged(layers.stage(None, plain)?);
    };
    match compare(layers, &pin, &mut plain)? {
        Compared::Equal => Ok(Layer::Known(pin)),
        Compared::Parted { common, read } => {
            let rest = read.as_slice().chain(plain);
            staged(stage_after(layers, &pin, common, rest)?)
        }
    }
}

fn staged(staged: Staged) -> Result<Layer, ImageError> {
    Ok(Layer::Staged(Some(staged)))
}

enum Compared {
    Equal,
    Parted {
        /// Bytes that both have at their beginning.
        common: u64,
        /// What has been read of the new one behind them.
        read: Vec<u8>,
    },
}

fn compare(layers: &Layers, here: &Pin, plain: &mut impl Read) -> Result<Compared, ImageError> {
    let rebuild = |out: &mut dyn Write| layers.rebuild(here.chain(), out);
    let (_, compared) = piped(rebuild, |ours| {
        let mut common = 0;
        loop {
            let (mut new, mut old) = (Vec::new(), Vec::new());
            let read = plain.by_ref().take(CHUNK).read_to_end(&mut new);
            read.map_err(stream("read layer"))?;
            // Where the new one has ended, the other must have, too.
            let wanted = (new.len() as u64).max(1);
            let read = (&mut *ours).take(wanted).read_to_end(&mut old);
            read.map_err(stream("read layer"))?;
            if new != old {
                copy(ours, &mut sink()).map_err(stream("read layer"))?;
                return Ok(Compared::Parted { common, read: new });
            }
            if new.is_empty() {
                return Ok(Compared::Equal);
            }
            common += new.len() as u64;
        }
    })?;
    Ok(compared)
}

/// Unpacks the first bytes of a layer that is here, and what comes after them.
fn stage_after(
    layers: &Arc<Layers>,
    here: &Pin,
    common: u64,
    rest: impl Read + Send,
) -> Result<Staged, ImageError> {
    let rebuild = |out: &mut dyn Write| layers.rebuild(here.chain(), out);
    let (_, staged) = piped(rebuild, |ours| {
        let staged = layers.stage(None, (&mut *ours).take(common).chain(rest))?;
        copy(ours, &mut sink()).map_err(stream("read layer"))?;
        Ok(staged)
    })?;
    Ok(staged)
}
