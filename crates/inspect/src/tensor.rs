use modelkeep_core::ByteRange;

/// A tensor as the header of its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// What its elements are, in the words of safetensors (`F32`, `BF16`) or, for blocks of quantised numbers, of ggml
    /// (`Q4_K`). What has neither is as the file says.
    pub dtype: String,
    /// Its dimensions, the one that changes slowest first, whatever order the format has.
    pub shape: Vec<u64>,
    /// Where its bytes lie in the file; `None` when they lie in another, or are not a run of bytes there.
    pub range: Option<ByteRange>,
}

impl Tensor {
    /// How many elements it has; `None` when that does not fit into 64 bits.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        elements(&self.shape)
    }
}

pub(crate) fn elements(shape: &[u64]) -> Option<u64> {
    shape
        .iter()
        .try_fold(1_u64, |product, &side| product.checked_mul(side))
}

/// Bits of one element, by the names that safetensors has for them (`Dtype` of its crate).
pub(crate) fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "U2" | "I2" => 2,
        "F4" | "U4" | "I4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "F64" | "I64" | "U64" | "C64" => 64,
        "C128" => 128,
        _ => return None,
    })
}

/// Bytes of a tensor whose elements lie side by side, without gaps; `None` when they do not fill whole bytes, or do not
/// fit into 64 bits.
pub(crate) fn packed_bytes(dtype: &str, shape: &[u64]) -> Option<u64> {
    let bits = elements(shape)?.checked_mul(bits(dtype)?)?;
    bits.is_multiple_of(8).then_some(bits / 8)
}
