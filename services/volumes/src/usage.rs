//! How much a volume takes.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Sum of the sizes of the regular files below `directory`, each inode once; symbolic links are not followed, and
/// what cannot be read counts nothing.
pub(crate) fn size(directory: &Path) -> u64 {
    let mut sum = 0;
    let mut hard_links = HashSet::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                open.push(entry.path());
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || hard_links.insert((metadata.dev(), metadata.ino())))
            {
                sum += metadata.len();
            }
        }
    }
    sum
}
