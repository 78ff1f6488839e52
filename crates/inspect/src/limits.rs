/// How much of one file is looked at. Together they keep what one file costs below 64 MiB of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest header, or text that is read whole, in bytes.
    pub header_bytes: u64,
    /// Most tensors of one file.
    pub tensors: u64,
    /// Most entries of a table: metadata, members of an archive, nodes of a document.
    pub entries: u64,
    /// Longest single text that is kept, in bytes.
    pub text_bytes: u64,
    /// Deepest nesting of what nests.
    pub depth: usize,
    /// Most dimensions of one tensor.
    pub dimensions: usize,
}

impl Default for Limits {
    /// Beyond what real models have: the largest headers there are have about 5 MB and 30,000 tensors.
    fn default() -> Self {
        Self {
            header_bytes: 16 << 20,
            tensors: 100_000,
            entries: 200_000,
            text_bytes: 1 << 20,
            depth: 64,
            dimensions: 16,
        }
    }
}
