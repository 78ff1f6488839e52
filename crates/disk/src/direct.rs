//! Reads and writes past the page cache (`O_DIRECT`).

use std::fs::File;

use modelkeep_core::ALIGNMENT;

/// Fewer bytes than this are not worth a second open file.
const WORTH: u64 = 1 << 20;

/// What a file is reopened for.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Whether bytes can go directly between `memory` and a file at `offset`.
pub(crate) fn is_aligned(offset: u64, memory: &[u8]) -> bool {
    memory.as_ptr().addr().is_multiple_of(ALIGNMENT) && offset.is_multiple_of(ALIGNMENT as u64)
}

/// The same file, opened a second time for direct access to `length` bytes, where that can be had and is worth it.
/// Through `/proc`, because the file may have been moved.
#[cfg(target_os = "linux")]
pub(crate) fn reopen(file: &File, length: u64, access: Access) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd;
    if length < WORTH {
        return None;
    }
    let access = match access {
        Access::Read => OFlags::RDONLY,
        Access::Write => OFlags::WRONLY,
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok().map(File::from)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn reopen(_: &File, _: u64, _: Access) -> Option<File> {
    None
}
