//! Which TLS is TLS: versions, suites and groups (NIST SP 800-52r2 sections 3.1 and 3.3).

use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// Everything older is no encryption (RFC 8996).
pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// AES-GCM with an ephemeral key: AEAD and forward secrecy. ChaCha20 is left out, which NIST has not approved.
const SUITES: [SupportedCipherSuite; 6] = [
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// The hybrid first: what is recorded today is not to be read by tomorrow's machines. rustls sends a share of its X25519 half
/// along, so that who does not know it costs no round trip.
const GROUPS: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];

/// What all our sessions are made with. In a `fips` build X25519 alone is not approved (SP 800-56A); the hybrid is, by its ML-KEM half.
pub(super) fn provider() -> CryptoProvider {
    let kx_groups = GROUPS.into_iter().filter(|group| group.fips() || !cfg!(feature = "fips")).collect();
    CryptoProvider { cipher_suites: SUITES.to_vec(), kx_groups, ..aws_lc_rs::default_provider() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hybrid_comes_first_and_a_fips_build_offers_nothing_that_is_not_approved() {
        let provider = provider();
        assert_eq!(provider.kx_groups[0].name(), rustls::NamedGroup::X25519MLKEM768);
        assert_eq!(provider.fips(), cfg!(feature = "fips"));
        assert_eq!(provider.kx_groups.len(), if cfg!(feature = "fips") { 3 } else { 4 });
    }
}
