//! What signatures cost.

use super::Book;
use prometheus::{Counter, IntCounter};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Series about signatures. CPU is that of the thread that signs, read twice for each signature or batch (0.3 µs).
pub struct Signing {
    rsa: Made,
    ed25519: Made,
    together: Made,
    /// `sealpost_signature_verify_cpu_seconds_total`: CPU spent on verifying batches before use.
    verify: Counter,
    /// `sealpost_signature_batches_total`: batches of two to eight RSA signatures made together.
    batches: IntCounter,
    /// `sealpost_signature_faults_total`: signatures that did not verify and were made again.
    pub faults: IntCounter,
}

/// How a signature is made by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single {
    /// `rsa-sha256`.
    Rsa,
    /// `ed25519-sha256`.
    Ed25519,
}

/// `sealpost_signatures_total{algorithm, backend}` and `sealpost_signature_cpu_seconds_total{algorithm, backend}`: signatures
/// and the CPU they took, by `rsa` or `ed25519`, made by `aws_lc` one at a time or by `crypto_mb` up to eight at a time.
struct Made {
    signatures: IntCounter,
    cpu: Counter,
}

impl Signing {
    pub(super) fn new(book: &Book<'_>) -> Signing {
        let labels = ["algorithm", "backend"];
        let signatures =
            book.counters("sealpost_signatures_total", "DKIM signatures made, by algorithm and backend", &labels);
        let cpu = book.seconds_by("sealpost_signature_cpu_seconds_total", "CPU spent on DKIM signatures", &labels);
        let made = |algorithm, backend| Made {
            signatures: signatures.with_label_values(&[algorithm, backend]),
            cpu: cpu.with_label_values(&[algorithm, backend]),
        };
        let verify = book.seconds(
            "sealpost_signature_verify_cpu_seconds_total",
            "CPU spent on verifying signatures made together, before use",
        );
        Signing {
            rsa: made("rsa", "aws_lc"),
            ed25519: made("ed25519", "aws_lc"),
            together: made("rsa", "crypto_mb"),
            verify,
            batches: book.counter("sealpost_signature_batches_total", "Batches of RSA signatures made together"),
            faults: book
                .counter("sealpost_signature_faults_total", "Signatures that did not verify and were made again"),
        }
    }

    /// Makes one signature.
    pub fn signed<T>(&self, how: Single, sign: impl FnOnce() -> T) -> T {
        let made = match how {
            Single::Rsa => &self.rsa,
            Single::Ed25519 => &self.ed25519,
        };
        made.signatures.inc();
        on_cpu(&made.cpu, sign)
    }

    /// Makes so many signatures together.
    pub fn signed_together<T>(&self, count: usize, sign: impl FnOnce() -> T) -> T {
        self.together.signatures.inc_by(count as u64);
        self.batches.inc();
        on_cpu(&self.together.cpu, sign)
    }

    /// Verifies a batch.
    pub fn verified<T>(&self, verify: impl FnOnce() -> T) -> T {
        on_cpu(&self.verify, verify)
    }
}

fn on_cpu<T>(counter: &Counter, work: impl FnOnce() -> T) -> T {
    let since = thread_cpu();
    let done = work();
    counter.inc_by(thread_cpu().saturating_sub(since).as_secs_f64());
    done
}

fn thread_cpu() -> Duration {
    // Never negative; zero where a kernel that we don't know says otherwise.
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
