use modelkeep_core::ByteRange;

/// Hashes the tensors of a file while somebody else reads the file: it is given the bytes in order, in pieces of any
/// length, and hashes with BLAKE3 those that belong to a tensor.
pub struct TensorHasher {
    /// In order, none with a byte in common with another.
    ranges: Vec<ByteRange>,
    hashes: Vec<String>,
    hasher: blake3::Hasher,
    /// Where the next byte is in the file.
    at: u64,
}

impl TensorHasher {
    /// `ranges` are those of a [`Plan`].
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        Self {
            ranges: plan.ranges.clone(),
            hashes: Vec::with_capacity(plan.ranges.len()),
            hasher: blake3::Hasher::new(),
            at: 0,
        }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while let Some(range) = self.ranges.get(self.hashes.len()) {
            let gap = usize::try_from(range.offset.saturating_sub(self.at)).unwrap_or(usize::MAX);
            if gap >= bytes.len() {
                break;
            }
            let end = range.offset.saturating_add(range.length);
            bytes = &bytes[gap..];
            self.at += gap as u64;
            let now = usize::try_from(end - self.at)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            self.hasher.update(&bytes[..now]);
            self.at += now as u64;
            bytes = &bytes[now..];
            if self.at < end {
                return;
            }
            self.hashes.push(self.hasher.finalize().to_hex().to_string());
            self.hasher.reset();
        }
        self.at += bytes.len() as u64;
    }

    /// The hashes, in the order of the plan; `None` when the file ended before them.
    #[must_use]
    pub fn finish(self) -> Option<Vec<String>> {
        (self.hashes.len() == self.ranges.len()).then_some(self.hashes)
    }
}

/// Which runs of bytes of a file are tensors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    ranges: Vec<ByteRange>,
}

impl Plan {
    /// Takes the places of tensors. Tensors of the same bytes are hashed once; those that share some of their bytes, and
    /// not all, are not hashed, and neither are those without bytes.
    #[must_use]
    pub fn new(mut places: Vec<ByteRange>) -> Self {
        places.retain(|place| place.length > 0 && place.end().is_some());
        places.sort_unstable_by_key(|place| (place.offset, place.length));
        places.dedup();
        let mut ranges: Vec<ByteRange> = Vec::with_capacity(places.len());
        // The end of all that came before, and whether the last range has a byte in common with another.
        let (mut end, mut is_shared) = (0, false);
        for place in places {
            let overlaps = place.offset < end;
            if overlaps && !is_shared {
                ranges.pop();
            }
            if !overlaps {
                ranges.push(place);
            }
            is_shared = overlaps;
            end = end.max(place.offset + place.length);
        }
        Self { ranges }
    }

    /// The ranges, in the order in which [`TensorHasher::finish`] gives the hashes.
    #[must_use]
    pub fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// The place of a range in it.
    #[must_use]
    pub fn find(&self, range: ByteRange) -> Option<usize> {
        let at = self
            .ranges
            .binary_search_by_key(&range.offset, |range| range.offset);
        at.ok().filter(|&at| self.ranges[at] == range)
    }

    /// What the plan is, as one fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for range in &self.ranges {
            hasher.update(&range.offset.to_le_bytes());
            hasher.update(&range.length.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The hash of bytes that are all there.
#[must_use]
pub(crate) fn tensor_hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, length: u64) -> ByteRange {
        ByteRange { offset, length }
    }

    #[test]
    fn a_tensor_has_its_hash_however_its_file_comes() {
        let file: Vec<u8> = (0..10_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let plan = Plan::new(vec![
            range(9_000, 1_000),
            range(8, 1),
            range(9, 4_000),
            range(5_000, 3_000),
            range(9, 4_000),
        ]);
        let expected: Vec<String> = [8..9, 9..4_009, 5_000..8_000, 9_000..10_000]
            .map(|run| tensor_hash(&file[run]))
            .to_vec();
        for piece in [1, 3, 7, 8, 9, 1_000, 4_009, 9_999, 10_000] {
            let mut hasher = TensorHasher::new(&plan);
            file.chunks(piece).for_each(|bytes| hasher.update(bytes));
            assert_eq!(hasher.finish().as_ref(), Some(&expected), "{piece}");
        }
        let mut hasher = TensorHasher::new(&plan);
        hasher.update(&file[..9_999]);
        assert_eq!(hasher.finish(), None);
    }

    #[test]
    fn tensors_that_share_bytes_in_part_are_not_hashed() {
        let plan = Plan::new(vec![
            range(0, 4),
            range(2, 4),
            range(5, 4),
            range(9, 0),
            range(9, 2),
            range(u64::MAX, 2),
            range(20, 9),
            range(22, 2),
            range(26, 1),
            range(30, 1),
        ]);
        assert_eq!(plan.ranges(), [range(9, 2), range(30, 1)]);
        assert_eq!(plan.find(range(30, 1)), Some(1));
        assert_eq!(plan.find(range(30, 2)), None);
        assert_eq!(plan.find(range(2, 4)), None);
    }
}
