/// What a target can hold, as plain numbers. They flow to the layout before any work starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest layer, in bytes.
    pub layer_bytes: u64,
    /// Most layers of one image. Docker's overlay driver mounts at most 128, some of them its own.
    pub layers: usize,
    /// Largest manifest, in bytes. Registries need only take 4 MiB (distribution-spec, "Pushing Manifests").
    pub manifest_bytes: u64,
    /// Largest image config, in bytes: podman and skopeo read no more than 4 MiB.
    pub config_bytes: u64,
}

impl Default for Limits {
    /// What every OCI end takes; layers of any size.
    fn default() -> Self {
        Self {
            layer_bytes: u64::MAX,
            layers: 100,
            manifest_bytes: 4 << 20,
            config_bytes: 4 << 20,
        }
    }
}
