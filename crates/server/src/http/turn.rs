//! Who looks after the other connections while one is answered.

use std::fmt;

/// The thread that answers a request, as the request sees it. Many connections share one as long as answers take but a
/// moment.
pub(crate) trait Turn {
    /// From here on the thread is for this request alone: it may wait for a peer, the disk or a lock, or compute for
    /// long. Said again, it changes nothing.
    fn take_time(&self);
}

/// A thread that has nothing else to do.
pub(crate) struct Alone;

impl Turn for Alone {
    fn take_time(&self) {}
}

impl fmt::Debug for dyn Turn + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}
