//! A private CA.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a CA").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Writes the CA's certificate.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).expect("written");
    }

    /// Writes certificate and key for `name` into `folder`.
    pub fn leaf(&self, name: &str, folder: &Path) -> (PathBuf, PathBuf) {
        self.leaf_until(name, 2100, folder)
    }

    /// The same, valid until the beginning of a year.
    pub fn leaf_until(&self, name: &str, year: i32, folder: &Path) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let paths = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&paths.0, certificate.pem()).expect("written");
        std::fs::write(&paths.1, key.serialize_pem()).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&paths.1, mode).expect("chmod");
        paths
    }
}
