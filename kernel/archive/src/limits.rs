//! How much an archive may ask for.

/// Bounds that an archive must keep; the defaults fit every honest image layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of entries.
    pub entries: u64,
    /// Size of one unpacked file in bytes (holes count).
    pub file_size: u64,
    /// Sum of the sizes of all unpacked files in bytes (holes count).
    pub total_size: u64,
    /// Length of a name or link target in bytes; beyond PATH_MAX nothing can be made of it.
    pub path: usize,
    /// Size of one extension header (PAX records, GNU long name) in bytes.
    pub extension: u64,
    /// Number of runs of a sparse file.
    pub sparse_runs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 16 << 20,
            file_size: 8 << 40,
            total_size: 64 << 40,
            path: 4096,
            extension: 1 << 20,
            sparse_runs: 1 << 18,
        }
    }
}
