//! The library itself: what is declared of it, and how it is called.

use crate::key::Words;
use crate::{Absent, Key, LANES, Number};
use std::ffi::{c_char, c_int};
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// The library, on a CPU that can run it.
#[derive(Clone, Copy, Debug)]
pub struct Library(());

/// `mbx_RSA_Method`, which only the library looks into.
#[repr(C)]
struct Method {
    _opaque: [u8; 0],
}

/// `mbxVersion`.
#[repr(C)]
struct Version {
    major: c_int,
    minor: c_int,
    patch: c_int,
    cpu: [c_char; 4],
    texts: [*const c_char; 3],
}

type Ins<T> = [*const T; LANES];
type Outs = [*mut u8; LANES];

// As crypto_mb/version.h, cpu_features.h and rsa.h declare them. Those that are safe take no pointer and return a number, or a
// pointer to a constant. `mbx_status` holds four bits a lane, the first lane lowest: 0 is success, 2 a lane without pointers.
unsafe extern "C" {
    safe fn mbx_getversion() -> *const Version;
    safe fn mbx_get_algo_info(algorithm: c_int) -> u64;
    safe fn mbx_RSA2K_private_crt_Method() -> *const Method;
    safe fn mbx_RSA2K_pub65537_Method() -> *const Method;
    fn mbx_RSA_Method_BufSize(method: *const Method) -> c_int;
    fn mbx_rsa_private_crt_mb8(
        from: *const *const u8,
        to: *const *mut u8,
        p: *const *const u64,
        q: *const *const u64,
        dp: *const *const u64,
        dq: *const *const u64,
        iq: *const *const u64,
        bits: c_int,
        method: *const Method,
        buffer: *mut u8,
    ) -> u32;
    fn mbx_rsa_public_mb8(
        from: *const *const u8,
        to: *const *mut u8,
        n: *const *const u64,
        bits: c_int,
        method: *const Method,
        buffer: *mut u8,
    ) -> u32;
}

const BITS: c_int = 2048;
/// `MBX_ALGO_RSA_2K`, and the bit that says eight lanes.
const RSA_2K: c_int = 1;
const EIGHT: u64 = 8;

impl Library {
    /// Asks the CPU, once.
    ///
    /// # Errors
    /// This CPU, or the system, lacks AVX-512 IFMA.
    pub fn open() -> Result<Library, Absent> {
        static ABLE: OnceLock<bool> = OnceLock::new();
        if *ABLE.get_or_init(is_able) { Ok(Library(())) } else { Err(Absent::Cpu) }
    }

    /// Which one it is: major, minor and patch number.
    pub fn version(self) -> String {
        // SAFETY: the library returns a pointer to a constant of its own, of the type that version.h declares.
        let version = unsafe { &*mbx_getversion() };
        format!("{}.{}.{}", version.major, version.minor, version.patch)
    }

    /// Raises each number to its key's private exponent, by the Chinese remainder theorem. A result is `None` where the library
    /// refused the lane. Nothing is verified: a single fault in a lane gives the key away to who sees its result.
    ///
    /// # Panics
    /// There are more than [`LANES`].
    pub fn private(self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        let method = mbx_RSA2K_private_crt_Method();
        let (mut results, mut buffer) = (vec![[0; 256]; lanes.len()], scratch(method));
        let from = pointers(lanes, |(_, number)| number.as_ptr());
        let to = outs(&mut results);
        let part = |part: fn(&Key) -> &Words<16>| pointers(lanes, |(key, _)| part(key).as_ptr());
        let (p, q) = (part(|key| &key.prime_1), part(|key| &key.prime_2));
        let (dp, dq) = (part(|key| &key.exponent_1), part(|key| &key.exponent_2));
        let iq = part(|key| &key.coefficient);
        // SAFETY: each array has eight pointers, as rsa.h asks: null in lanes that are not used, which the library passes
        // over, else to what lives until the call returns: 256 octets to read, 256 of their own to write, 16 words (1024 bits)
        // of a key's part. The method is the library's for 2048 bits with CRT, and the buffer is as long as it asks for that
        // method. `Library` exists only where the CPU can run it.
        let status = unsafe {
            mbx_rsa_private_crt_mb8(
                from.as_ptr(),
                to.as_ptr(),
                p.as_ptr(),
                q.as_ptr(),
                dp.as_ptr(),
                dq.as_ptr(),
                iq.as_ptr(),
                BITS,
                method,
                buffer.as_mut_ptr().cast(),
            )
        };
        judged(results, status)
    }

    /// Raises each number to 65537. A result is `None` where the library refused the lane.
    ///
    /// # Panics
    /// There are more than [`LANES`].
    pub fn public(self, lanes: &[(&Key, &Number)]) -> Vec<Option<Number>> {
        let method = mbx_RSA2K_pub65537_Method();
        let (mut results, mut buffer) = (vec![[0; 256]; lanes.len()], scratch(method));
        let from = pointers(lanes, |(_, number)| number.as_ptr());
        let to = outs(&mut results);
        let n = pointers(lanes, |(key, _)| key.modulus.as_ptr());
        // SAFETY: as in `private`; the modulus has 32 words (2048 bits), and the method is that of the exponent 65537.
        let status = unsafe {
            mbx_rsa_public_mb8(from.as_ptr(), to.as_ptr(), n.as_ptr(), BITS, method, buffer.as_mut_ptr().cast())
        };
        judged(results, status)
    }
}

/// Whether the library can run here. Each function that we use is called once: on its first call it chooses the code for this
/// CPU, and writes that down without a lock.
fn is_able() -> bool {
    let able = is_x86_feature_detected!("avx512ifma") && mbx_get_algo_info(RSA_2K) & EIGHT != 0;
    if able {
        let library = Library(());
        library.version();
        library.private(&[]);
        library.public(&[]);
    }
    able
}

/// Memory for the library to work in; parts of keys were there, so it is wiped. In words, because that wipes faster.
fn scratch(method: *const Method) -> Zeroizing<Vec<u64>> {
    // SAFETY: the method comes from the library, which only reads a number out of it.
    let octets = unsafe { mbx_RSA_Method_BufSize(method) };
    let octets = usize::try_from(octets).expect("the library asks for 54,720 octets at most");
    Zeroizing::new(vec![0; octets.div_ceil(8)])
}

fn pointers<T>(lanes: &[(&Key, &Number)], of: impl Fn((&Key, &Number)) -> *const T) -> Ins<T> {
    let mut pointers = [null(); LANES];
    assert!(lanes.len() <= LANES, "eight lanes at most");
    for (pointer, (key, number)) in pointers.iter_mut().zip(lanes) {
        *pointer = of((key, number));
    }
    pointers
}

fn outs(results: &mut [Number]) -> Outs {
    let mut outs = [null_mut(); LANES];
    for (out, result) in outs.iter_mut().zip(results) {
        *out = result.as_mut_ptr();
    }
    outs
}

fn judged(results: Vec<Number>, status: u32) -> Vec<Option<Number>> {
    results.into_iter().enumerate().map(|(lane, result)| (status >> (lane * 4) & 0xf == 0).then_some(result)).collect()
}

/// What `ifma_cvt52.c` takes from OpenSSL's libcrypto, for entry points with OpenSSL's numbers in them, which nobody calls;
/// other functions of that file are needed. So we don't depend on libcrypto, which sealpost has no other use for. (AWS-LC is
/// in the same program, but under names of its own.)
mod libcrypto {
    /// Never called.
    // SAFETY: no other symbol of this name is in the program: OpenSSL isn't, and AWS-LC's names have a prefix.
    #[unsafe(no_mangle)]
    extern "C" fn BN_num_bits() -> ! {
        std::process::abort()
    }

    /// Never called.
    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn BN_bn2lebinpad() -> ! {
        std::process::abort()
    }
}
