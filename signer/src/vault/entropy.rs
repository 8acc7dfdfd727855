use hpke::rand_core::{CryptoRng, RngCore};

/// Random bytes from the operating system.
///
/// # Panics
/// When the operating system has no entropy to give: nothing safe can be done then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system provides entropy");
}

/// The operating system's entropy in the form the HPKE crate asks for.
pub(super) struct OsEntropy;

impl RngCore for OsEntropy {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(random())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(random())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        fill(bytes);
    }
}

impl CryptoRng for OsEntropy {}
