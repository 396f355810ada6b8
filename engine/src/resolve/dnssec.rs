//! Who says whether an answer is genuine, and on whose word.

use super::DnsError;
use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::DnsHandle;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::op::DnsRequest;
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::proto::serialize::txt::ParseError;
use hickory_resolver::proto::serialize::txt::trust_anchor::{Entry, Parser};
use hickory_resolver::{ConnectionProvider, PoolContext};
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;

/// Who looks at signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dnssec {
    /// We do, from the root down (RFC 4035).
    Validate,
    /// The resolver does, and we believe the AD bit of its answers (RFC 6840 section 5.8): it must be on this machine.
    TrustAd,
    /// Nobody does.
    Off,
}

/// The root's keys of a file in the presentation format of DNSKEY records.
pub(super) fn anchors(path: &Path) -> Result<TrustAnchors, DnsError> {
    let fail = |why: String| DnsError::Anchors { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(|cause| fail(cause.to_string()))?;
    let entries = Parser::new(text.as_str()).parse().map_err(|cause| fail(unread(&cause)))?;
    for entry in &entries {
        let Entry::DNSKEY(record) = entry else { continue };
        if !record.name().is_root() {
            return Err(fail(format!("holds a key of {}: chains begin at the root alone", record.name())));
        }
    }
    if entries.is_empty() {
        return Err(fail("holds no key".into()));
    }
    text.parse().map_err(|cause| fail(unread(&cause)))
}

fn unread(cause: &ParseError) -> String {
    match cause {
        ParseError::UnsupportedRecordType(RecordType::DS) => {
            "holds a DS record: write the DNSKEY record that it is of".into()
        }
        cause => format!("is no list of DNSKEY records ({cause})"),
    }
}

/// Opens connections to name servers, and has questions ask as whoever looks at signatures must ask.
#[derive(Clone)]
pub(super) struct Provider {
    pub(super) inner: TokioRuntimeProvider,
    pub(super) dnssec: Dnssec,
}

impl ConnectionProvider for Provider {
    type Conn = Asking;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Asking, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let opening = self.inner.new_connection(ip, config, context)?;
        let dnssec = self.dnssec;
        Ok(Box::pin(async move { Ok(Asking { connection: opening.await?, dnssec }) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.inner
    }
}

type Connection = <TokioRuntimeProvider as ConnectionProvider>::Conn;

/// A connection to a name server.
#[derive(Clone)]
pub(super) struct Asking {
    connection: Connection,
    dnssec: Dnssec,
}

impl DnsHandle for Asking {
    type Response = <Connection as DnsHandle>::Response;
    type Runtime = <Connection as DnsHandle>::Runtime;

    fn is_using_edns(&self) -> bool {
        self.connection.is_using_edns()
    }

    fn send(&self, mut request: DnsRequest) -> Self::Response {
        match self.dnssec {
            // RFC 6840 section 5.9: who validates says so. The resolver then withholds nothing that it holds for bogus, and
            // systemd-resolved gives signatures to nobody else.
            Dnssec::Validate => request.metadata.checking_disabled = true,
            // Section 5.7: a resolver that isn't asked for the AD bit keeps it to itself, and hickory asks only where it validates.
            Dnssec::TrustAd => request.metadata.authentic_data = true,
            Dnssec::Off => {}
        }
        self.connection.send(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The root's key of 2024, as IANA publishes it.
    const ROOT: &str = ". 172800 IN DNSKEY 257 3 8 AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=\n";

    fn read(text: &str) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let shown = file.path().display().to_string();
        anchors(file.path()).map(|anchors| anchors.len()).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn trust_anchors_are_keys_of_the_root() {
        assert_eq!(read(&format!("; IANA\n{ROOT}")), Ok(1));
        assert_eq!(read("; none\n"), Err("FILE: holds no key".into()));
        let elsewhere = ROOT.replacen('.', "corp.example.", 1);
        assert_eq!(read(&elsewhere), Err("FILE: holds a key of corp.example.: chains begin at the root alone".into()));
        let ds = ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";
        assert!(read(ds).is_err_and(|text| text.contains("write the DNSKEY record")));
        assert!(read("nonsense").is_err());
    }
}
