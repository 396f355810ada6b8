//! `sealpost init`.

use crate::args::Init;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use engine::secret::{MasterKey, write_owner_only};
use engine::sign::{Algorithm, KeyPair, dns_record, generate};
use std::fs;
use std::path::{Path, PathBuf};

const MACHINE: &str = include_str!("../../config/sealpost.toml");
const CAMPAIGN: &str = include_str!("../../config/campaign.toml");
const HTML: &str = include_str!("../../config/demo/eob.html.hbs");
const TEXT: &str = include_str!("../../config/demo/eob.txt.hbs");
/// The domain in the reference files.
const EXAMPLE: &str = "acme-health.example";

/// Writes a configuration to start from, and the keys; nothing that exists is touched.
pub fn run(options: &Init) -> Result<u8, Failure> {
    let domain = options.domain.to_ascii_lowercase();
    if engine::mail::Address::parse(&format!("postmaster@{domain}")).is_err() {
        let hint = Some("for example: --domain acme-health.example".into());
        return Err(Failure::usage(format!("\"{domain}\" is no domain"), hint));
    }
    let keys = options.folder.join("keys");
    let paths = Paths::under(&options.folder);
    if let Some(there) = paths.all().into_iter().find(|path| path.exists()) {
        let hint = Some("name an empty folder: sealpost init FOLDER --domain …".into());
        return Err(Failure::usage(format!("{} is there already and is left alone", there.display()), hint));
    }
    fs::create_dir_all(&keys).map_err(|error| Failure::writing(&keys, &error))?;
    let (_, master) = MasterKey::generate();
    write(&paths.master, master.as_bytes())?;
    let mut records = Vec::new();
    for (path, selector, algorithm) in [(&paths.rsa, "s1", Algorithm::Rsa), (&paths.ed25519, "s2", Algorithm::Ed25519)]
    {
        let pem = generate(algorithm);
        write(path, pem.as_bytes())?;
        let pair = KeyPair::parse(pem.as_bytes(), algorithm).map_err(|error| Failure::internal(error.to_string()))?;
        records.push(format!("{selector}._domainkey.{domain}. IN TXT {}", quoted(&dns_record(&pair))));
    }
    write(&paths.machine, MACHINE.replace(EXAMPLE, &domain).as_bytes())?;
    write(&paths.campaign, CAMPAIGN.replace(EXAMPLE, &domain).as_bytes())?;
    write(&paths.html, HTML.as_bytes())?;
    write(&paths.text, TEXT.as_bytes())?;
    eprintln!(
        "wrote {} files under {}; keep sealpost-master.key safe and apart from the state directory",
        paths.all().len(),
        options.folder.display()
    );
    eprintln!(
        "publish these DNS records, then edit sealpost.toml and campaign.toml and run `sealpost check campaign.toml`:"
    );
    for record in records {
        outln!("{record}");
    }
    Ok(SETTLED)
}

struct Paths {
    machine: PathBuf,
    campaign: PathBuf,
    html: PathBuf,
    text: PathBuf,
    master: PathBuf,
    rsa: PathBuf,
    ed25519: PathBuf,
}

impl Paths {
    fn under(folder: &Path) -> Paths {
        Paths {
            machine: folder.join("sealpost.toml"),
            campaign: folder.join("campaign.toml"),
            html: folder.join("eob.html.hbs"),
            text: folder.join("eob.txt.hbs"),
            master: folder.join("sealpost-master.key"),
            rsa: folder.join("keys/s1.pem"),
            ed25519: folder.join("keys/s2.pem"),
        }
    }

    fn all(&self) -> [&PathBuf; 7] {
        [&self.machine, &self.campaign, &self.html, &self.text, &self.master, &self.rsa, &self.ed25519]
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write_owner_only(path, content).map_err(|error| Failure::writing(path, &error))
}

/// A TXT record's strings of at most 255 octets (RFC 1035 section 3.3.14).
fn quoted(text: &str) -> String {
    let pieces = text.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)));
    pieces.collect::<Vec<_>>().join(" ")
}
