//! The credential that a sign-in ends with lies here until the device fetches it, sealed (HPKE, RFC 9180) to a key
//! that is derived from the device code. The device code itself is kept nowhere.

use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable,
    aead::ChaCha20Poly1305,
    kdf::HkdfSha256,
    kem::X25519HkdfSha256 as Kem,
    rand_core::{CryptoRng, RngCore},
};
use zeroize::Zeroizing;

use crate::{
    oauth::{Credential, Prefix, random},
    store::records::DeviceRequest,
};

type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

const KEY_INFO: &[u8] = b"icgate device key v1";
const SEAL_INFO: &[u8] = b"icgate device seal v1";
const ENCAPPED_LEN: usize = 32;

/// The public key to which things are sealed for the holder of a device code.
pub(super) fn public_key(device_code: &Credential) -> [u8; 32] {
    pair(device_code).1.to_bytes().into()
}

/// Seals a credential for the device; none when its public key is not one.
pub(crate) fn seal(request: &DeviceRequest, credential: &Credential) -> Option<Vec<u8>> {
    let public = PublicKey::from_bytes(&request.public_key).ok()?;
    let (encapped, sealed) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
        &OpModeS::Base,
        &public,
        SEAL_INFO,
        credential.text().as_bytes(),
        request.device_code.as_bytes(),
        &mut OsRandom,
    )
    .ok()?;
    Some([&*encapped.to_bytes(), &sealed].concat())
}

/// Reads what was sealed for the holder of this device code.
pub(crate) fn open(device_code: &Credential, sealed: &[u8]) -> Option<Credential> {
    let (encapped, sealed) = sealed.split_at_checked(ENCAPPED_LEN)?;
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &pair(device_code).0,
        &EncappedKey::from_bytes(encapped).ok()?,
        SEAL_INFO,
        sealed,
        device_code.digest().as_bytes(),
    );
    let text = Zeroizing::new(opened.ok()?);
    Credential::parse(Prefix::Code, std::str::from_utf8(&text).ok()?)
}

fn pair(device_code: &Credential) -> (PrivateKey, PublicKey) {
    Kem::derive_keypair(device_code.derive(KEY_INFO).as_slice())
}

/// The operating system's randomness in the form the HPKE crate asks for.
struct OsRandom;

impl RngCore for OsRandom {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(random())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(random())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random::<8>()[..chunk.len()]);
        }
    }
}

impl CryptoRng for OsRandom {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::device_request;

    fn request(device_code: &Credential) -> DeviceRequest {
        DeviceRequest {
            device_code: device_code.digest(),
            public_key: public_key(device_code),
            ..device_request()
        }
    }

    #[test]
    fn only_the_device_code_opens() {
        let [mine, other] = [(); 2].map(|()| Credential::mint(Prefix::DeviceCode));
        let code = Credential::mint(Prefix::Code);
        let sealed = seal(&request(&mine), &code).unwrap();
        assert_eq!(open(&mine, &sealed).unwrap().text(), code.text());
        assert!(open(&other, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&mine, &altered).is_none(), "byte {at}");
        }
        assert!(open(&mine, &sealed[..20]).is_none());
    }

    #[test]
    fn what_was_sealed_for_another_request_does_not_open() {
        let mine = Credential::mint(Prefix::DeviceCode);
        let moved = DeviceRequest {
            public_key: public_key(&mine),
            ..device_request()
        };
        let sealed = seal(&moved, &Credential::mint(Prefix::Code)).unwrap();
        assert!(open(&mine, &sealed).is_none());
    }
}
