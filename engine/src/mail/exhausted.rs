//! What this machine has run out of.

use rustix::io::Errno;
use std::io;

/// Whether `error` says that the process or the machine has no descriptors, ports or memory left: a fault of ours, which
/// nobody at the other end can mend.
pub fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)
    )
}
