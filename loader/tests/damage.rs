//! Octets from outside never panic, and never take memory or the stack: files by other hands, with octets turned over.

use loader::Spec;
use std::io::Write;
use std::path::Path;

/// Numbers that are the same at every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).expect("31 bits") % bound
    }
}

#[test]
fn damaged_files_are_refused_or_read() {
    let mut dice = Dice(0x5ea1);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/foreign");
    let mut names: Vec<_> =
        std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    names.retain(|name| name.extension().is_none_or(|ending| ending != "json"));
    for path in names {
        let whole = std::fs::read(&path).expect("readable");
        if whole.is_empty() {
            continue;
        }
        let ending = path.file_name().and_then(|name| name.to_str()).expect("a name");
        for _ in 0..30 {
            let mut octets = whole.clone();
            for _ in 0..=dice.below(3) {
                let at = dice.below(octets.len());
                octets[at] = dice.below(256).to_le_bytes()[0];
            }
            let mut file = tempfile::Builder::new().suffix(ending).tempfile().expect("a file");
            file.write_all(&octets).expect("written");
            read(&Spec::new(file.path()));
        }
    }
}

/// Reads all there is to read.
fn read(spec: &Spec) {
    let Ok(input) = loader::open(spec) else { return };
    for batch in input {
        let Ok(batch) = batch else { return };
        for index in 0..batch.len() {
            let _ = batch.row(index);
        }
    }
}
