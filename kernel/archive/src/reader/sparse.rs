//! Maps of sparse files, in whichever of the four ways they are given: old GNU and PAX 0.0, 0.1, 1.0 (GNU tar manual,
//! «Storing Sparse Files»).

use std::io::BufRead;

use super::Reader;
use crate::entry::{Run, display};
use crate::header::{self, BLOCK, Header};
use crate::pax;
use crate::{Entry, ReadError};

impl<R: BufRead> Reader<R> {
    /// Finds the map, if the entry is a sparse file, and checks it.
    pub(super) fn sparse(
        &mut self,
        header: &Header<'_>,
        entry: &mut Entry,
        sparse: pax::Sparse,
    ) -> Result<(), ReadError> {
        let name = display(&entry.path);
        let refuse = |problem| ReadError::Extension {
            entry: name.clone(),
            problem,
        };
        let (runs, size) = if header.type_flag() == b'S' {
            let (mut runs, mut more, size) = header.old_sparse().map_err(refuse)?;
            while more {
                let block = self.block(false)?.unwrap_or([0; BLOCK]);
                runs.extend(header::old_runs(&block[..504]).map_err(refuse)?);
                more = block[504] != 0;
                if runs.len() > self.limits.sparse_runs {
                    return Err(refuse("the sparse map has too many runs"));
                }
            }
            (runs, size)
        } else if sparse.major == Some(1) {
            let size = sparse
                .real_size
                .ok_or_else(|| refuse("a sparse file has no real size"))?;
            (self.sparse_map(&refuse)?, size)
        } else if let Some(runs) = sparse.runs {
            let size = sparse
                .real_size
                .ok_or_else(|| refuse("a sparse file has no real size"))?;
            (runs, size)
        } else {
            return Ok(());
        };
        check_runs(&runs, size, self.remaining).map_err(refuse)?;
        entry.size = size;
        entry.sparse = Some(runs);
        Ok(())
    }

    /// The map of version 1.0: decimal lines before the data, padded to a block.
    fn sparse_map(&mut self, refuse: &impl Fn(&'static str) -> ReadError) -> Result<Vec<Run>, ReadError> {
        let mut line = Vec::new();
        let mut numbers = Vec::new();
        let mut wanted = 1;
        while numbers.len() < wanted {
            self.remaining = self
                .remaining
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| refuse("the sparse map is longer than the data"))?;
            let block = self.block(false)?.unwrap_or([0; BLOCK]);
            for &byte in &block {
                if numbers.len() == wanted {
                    break;
                }
                if byte != b'\n' {
                    line.push(byte);
                    if line.len() > 20 {
                        return Err(refuse("the sparse map is not of numbers"));
                    }
                    continue;
                }
                let number = pax::unsigned(&line).map_err(|_| refuse("the sparse map is not of numbers"))?;
                line.clear();
                if numbers.is_empty() {
                    if number > self.limits.sparse_runs as u64 {
                        return Err(refuse("the sparse map has too many runs"));
                    }
                    wanted += 2 * number as usize;
                }
                numbers.push(number);
            }
        }
        let runs = numbers[1..].chunks_exact(2);
        Ok(runs
            .map(|pair| Run {
                offset: pair[0],
                length: pair[1],
            })
            .collect())
    }
}

/// Runs must ascend without overlap, end within the file and be all of the stored data.
fn check_runs(runs: &[Run], size: u64, stored: u64) -> Result<(), &'static str> {
    let (mut end, mut total) = (0u64, 0u64);
    for run in runs {
        if run.offset < end {
            return Err("the runs of the sparse map overlap");
        }
        end = run
            .offset
            .checked_add(run.length)
            .ok_or("a run of the sparse map is out of range")?;
        total += run.length;
    }
    if end > size {
        return Err("the sparse map goes beyond the end of the file");
    }
    if total != stored {
        return Err("the sparse map does not fit the data");
    }
    Ok(())
}
