//! stand-in
use sha2::Digest as _;
/// x
#[derive(Clone, Default)]
pub struct Sha256 {
    inner: sha2::Sha256,
    length: u64,
}
impl Sha256 {
    /// x
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// x
    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
        self.length += bytes.len() as u64;
    }
    /// x
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.inner.finalize().into()
    }
    /// x
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }
}
/// x
pub fn update_both(a: &mut Sha256, b: &mut Sha256, bytes: &[u8]) {
    a.update(bytes);
    b.update(bytes);
}
