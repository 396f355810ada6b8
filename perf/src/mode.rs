//! How our messages are signed.

use clap::ValueEnum;
use engine::sign::{Algorithm, KeyPair};
use std::error::Error;
use std::path::Path;

/// A way to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// RSA-2048, one signature at a time.
    Rsa,
    /// The same with AWS-LC's code for a CPU without AVX-512 IFMA, which is what "portable" was when the bars were set.
    #[value(name = "rsa-no-ifma")]
    RsaNoIfma,
    /// RSA-2048, eight at a time, where the machine can.
    #[value(name = "crypto_mb")]
    CryptoMb,
    /// RSA-2048 and Ed25519.
    #[value(name = "rsa+ed25519")]
    RsaEd25519,
    /// Ed25519 alone.
    Ed25519,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Mode::Rsa => "rsa",
            Mode::RsaNoIfma => "rsa-no-ifma",
            Mode::CryptoMb => "crypto_mb",
            Mode::RsaEd25519 => "rsa+ed25519",
            Mode::Ed25519 => "ed25519",
        }
    }

    /// Its keys in the folder that `sealpost init` made: the selector, the file's name, the kind.
    pub fn keys(self) -> &'static [(&'static str, &'static str, Algorithm)] {
        const BOTH: [(&str, &str, Algorithm); 2] =
            [("s1", "keys/s1.pem", Algorithm::Rsa), ("s2", "keys/s2.pem", Algorithm::Ed25519)];
        match self {
            Mode::Rsa | Mode::RsaNoIfma | Mode::CryptoMb => &BOTH[..1],
            Mode::RsaEd25519 => &BOTH,
            Mode::Ed25519 => &BOTH[1..],
        }
    }

    /// What `sealpost.toml` says of signing.
    pub fn settings(self, desk: &Path) -> String {
        let lines = self.keys().iter().map(|(selector, file, algorithm)| {
            let word = if *algorithm == Algorithm::Rsa { "rsa" } else { "ed25519" };
            format!("{word} = {{ selector = \"{selector}\", key = \"{}\" }}\n", desk.join(file).display())
        });
        let together = if self == Mode::CryptoMb { "auto" } else { "off" };
        format!("[signing]\ntogether = \"{together}\"\n[dkim.\"{DOMAIN}\"]\n{}", lines.collect::<String>())
    }

    /// What the sender's environment says of the CPU: AWS-LC masks the feature words of CPUID by it, the second of which is
    /// leaf 7's EBX, where bit 21 is AVX-512 IFMA.
    pub fn environment(self) -> Option<(&'static str, &'static str)> {
        (self == Mode::RsaNoIfma).then_some(("OPENSSL_ia32cap", ":~0x200000"))
    }

    /// Its keys, read.
    ///
    /// # Errors
    /// A file is missing or holds no key.
    pub fn pairs(self, desk: &Path) -> Result<Vec<KeyPair>, Box<dyn Error>> {
        let read = |(_, file, algorithm): &(&str, &str, Algorithm)| {
            Ok(KeyPair::parse(&std::fs::read(desk.join(file))?, *algorithm)?)
        };
        self.keys().iter().map(read).collect()
    }
}

/// Who signs.
pub const DOMAIN: &str = "acme-health.example";
