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
        let chunk = [0xff; 16 << 10];
        while self.free() > leave {
            let octets = chunk.len().min(usize::try_from(self.free() - leave).expect("small"));
            if file.write_all(&chunk[..octets]).is_err() {
                return;
            }
        }
    }

    /// Removes what [`fill`](Self::fill) wrote.
    pub fn clear(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).expect("it was there");
    }

    fn free(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&self.0).output().expect("stat runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        numbers.iter().product()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}
