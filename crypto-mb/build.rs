//! Finds `libcrypto_mb.a` and, where it is there, sets the cfg `crypto_mb`; without it the crate says at run time that it
//! isn't. `.ci/crypto_mb` puts it where it is looked for by default. `SEALPOST_CRYPTO_MB` names another folder; set to
//! nothing, it makes a build without.

use std::env;
use std::path::PathBuf;

const PLACE: &str = "crypto_mb/2026.2.0";

fn main() {
    println!("cargo::rustc-check-cfg=cfg(crypto_mb)");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["SEALPOST_CRYPTO_MB", "SEALPOST_CACHE", "HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let target = ["CARGO_CFG_TARGET_ARCH", "CARGO_CFG_TARGET_OS"].map(|name| env::var(name).unwrap_or_default());
    if target != ["x86_64", "linux"] {
        return;
    }
    let Some(folder) = folder() else { return };
    let library = folder.join("libcrypto_mb.a");
    if library.is_file() {
        println!("cargo::rerun-if-changed={}", library.display());
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static=crypto_mb");
        println!("cargo::rustc-cfg=crypto_mb");
    } else if env::var_os("SEALPOST_CRYPTO_MB").is_some() {
        println!("cargo::error=SEALPOST_CRYPTO_MB: there is no {}", library.display());
    }
    // A file that is not there yet is not watched: cargo would build this crate and its users again each time. `.ci/crypto_mb`
    // touches this script when it has fetched the library.
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("SEALPOST_CRYPTO_MB") {
        return (!folder.is_empty()).then(|| folder.into());
    }
    let cache = env::var_os("SEALPOST_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache/sealpost"));
    Some(cache.or_else(home)?.join(PLACE))
}
