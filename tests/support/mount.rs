//! A small disk that a test fills.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tmpfs of so many MB; unmounted when it is dropped, whoever still uses it.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(place: &Path, megabytes: u64) -> SmallDisk {
        std::fs::create_dir_all(place).expect("a folder");
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place).status();
        assert!(mounted.expect("mount runs").success(), "mounting needs root");
        SmallDisk(place.to_owned())
    }

    /// Writes a file until `leave` octets are left or, at zero, until nothing goes in any more. It grows if it was there.
    pub fn fill(&self, name: &str, leave: u64) {
        let mut file = File::options().create(true).append(true).open(self.0.join(name)).expect("opens");
        let free = rustix::fs::statvfs(&self.0).map(|disk| disk.f_bavail * disk.f_frsize).expect("mounted");
        let octets = usize::try_from(free.saturating_sub(leave)).expect("a small disk");
        // What others take meanwhile is missing here: then all of it is taken.
        file.write_all(&vec![0xff; octets]).ok();
    }

    /// Removes what [`fill`](Self::fill) wrote.
    pub fn clear(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("it was there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}
