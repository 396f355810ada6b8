//! Room kept for the moment when there is none.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that only takes up room, `<state_dir>/ballast`. It goes when the disk is full: what is on a wire then can be
/// recorded, and the database can be opened again.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    octets: u64,
}

const OCTETS: u64 = 4 << 20;
const CHUNK: usize = 64 << 10;

impl Ballast {
    /// The ballast of a state directory on a file system of `total` octets, a sixteenth of it at most.
    pub(super) fn new(state_dir: &Path, total: u64) -> Ballast {
        Ballast { path: state_dir.join("ballast"), octets: OCTETS.min(total / 16) }
    }

    /// What it takes.
    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Whether it is there, whole.
    pub(super) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() >= self.octets)
    }

    /// Takes the room. The octets are such that no file system finds a shorter way to keep them.
    pub(super) fn make(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let (mut left, mut state) = (self.octets, 0x9e37_79b9_7f4a_7c15_u64);
        while left > 0 {
            let chunk: Vec<u8> = (0..CHUNK / 8).flat_map(|_| xorshift(&mut state).to_ne_bytes()).collect();
            let length = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            file.write_all(&chunk[..length]).inspect_err(|_| self.free())?;
            left -= length as u64;
        }
        Ok(())
    }

    /// Gives the room back.
    pub(super) fn free(&self) {
        match fs::remove_file(&self.path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => tracing::error!(%cause, "can't remove the ballast"),
            _ => {}
        }
    }
}

fn xorshift(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_takes_real_room_and_gives_it_back() {
        let folder = tempfile::tempdir().expect("folder");
        let ballast = Ballast::new(folder.path(), 16 << 20);
        assert_eq!(ballast.octets(), 1 << 20);
        assert!(!ballast.is_there());
        ballast.make().expect("made");
        let blocks = fs::metadata(folder.path().join("ballast")).expect("a file").blocks();
        assert!(ballast.is_there() && blocks * 512 >= 1 << 20, "{blocks}");
        ballast.free();
        ballast.free();
        assert!(!ballast.is_there());
    }
}
