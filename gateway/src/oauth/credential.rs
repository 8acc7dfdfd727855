use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use icgate_proto::ConnectionSecret;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::store::Digest;

const SECRET_INFO: &[u8] = b"icgate connection secret v1";
const SEAL_INFO: &[u8] = b"icgate successor seal v1";
const FORM_INFO: &[u8] = b"icgate form token v1 ";
const NONCE_LEN: usize = 24;

/// What a credential is for; its text begins with the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    ConnectCookie,
    Code,
    DeviceCode,
    /// Proves that a browser is the one that Internet Identity's page ran in, in the handshake `key-request`.
    Finish,
    Access,
    Refresh,
    Session,
    ApiKey,
    /// Registration access token (RFC 7592); opens nothing at the signer.
    Registration,
}

impl Prefix {
    const fn as_str(self) -> &'static str {
        match self {
            Prefix::ConnectCookie => "icg_cc_",
            Prefix::Code => "icg_ac_",
            Prefix::DeviceCode => "icg_dc_",
            Prefix::Finish => "icg_fs_",
            Prefix::Access => "icg_at_",
            Prefix::Refresh => "icg_rt_",
            Prefix::Session => "icg_bs_",
            Prefix::ApiKey => "icg_key_",
            Prefix::Registration => "icg_ra_",
        }
    }
}

/// A credential in flight: 32 random bytes. Wiped when dropped; never printed, never stored.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Credential {
    #[zeroize(skip)]
    prefix: Prefix,
    bytes: [u8; 32],
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.prefix.as_str())
    }
}

impl Credential {
    /// Makes a new one.
    pub(crate) fn mint(prefix: Prefix) -> Self {
        Self {
            prefix,
            bytes: random(),
        }
    }

    /// Reads the text of a credential of one kind; anything else is none.
    pub(crate) fn parse(prefix: Prefix, text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let encoded = text.strip_prefix(prefix.as_str())?;
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes) {
            Ok(32) => Some(Self { prefix, bytes }),
            _ => None,
        }
    }

    /// The text that is handed out.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(64));
        text.push_str(self.prefix.as_str());
        URL_SAFE_NO_PAD.encode_string(self.bytes, &mut text);
        text
    }

    /// All that is kept of it.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.text())
    }

    /// What opens the connection at the signer for whoever holds this credential.
    pub(crate) fn secret(&self) -> ConnectionSecret {
        ConnectionSecret::new(*self.derive(SECRET_INFO))
    }

    /// Binds a form to the browser that holds this credential in a cookie, and to what the form is for.
    pub(crate) fn form_token(&self, purpose: &str) -> String {
        let info = [FORM_INFO, purpose.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(self.derive(&info).as_slice())
    }

    /// Encrypts something that only the holder of this credential may read again.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), self.payload(plaintext))
            .expect("a few hundred bytes can be encrypted");
        [&nonce[..], &sealed].concat()
    }

    /// Reads what was sealed under this credential.
    pub(crate) fn unseal(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), self.payload(sealed))
            .ok()
            .map(Zeroizing::new)
    }

    /// Seals other credentials so that the same ones can be handed out again.
    pub(crate) fn seal_all(&self, credentials: &[&Credential]) -> Vec<u8> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(32 * credentials.len()));
        for credential in credentials {
            plaintext.extend_from_slice(&credential.bytes);
        }
        self.seal(&plaintext)
    }

    /// Reads credentials of these kinds that were sealed in this order; fewer may have been.
    pub(crate) fn unseal_all(&self, sealed: &[u8], prefixes: &[Prefix]) -> Option<Vec<Credential>> {
        let plaintext = self.unseal(sealed)?;
        let (chunks, rest) = plaintext.as_chunks::<32>();
        (rest.is_empty() && chunks.len() <= prefixes.len()).then(|| {
            chunks
                .iter()
                .zip(prefixes)
                .map(|(&bytes, &prefix)| Credential { prefix, bytes })
                .collect()
        })
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.derive(SEAL_INFO).as_slice().into())
    }

    fn payload<'a>(&self, msg: &'a [u8]) -> Payload<'a, 'static> {
        Payload {
            msg,
            aad: self.prefix.as_str().as_bytes(),
        }
    }

    /// HKDF-SHA-256 without salt (RFC 5869).
    pub(super) fn derive(&self, info: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.bytes)
            .expand(info, key.as_mut_slice())
            .expect("32 bytes is a valid HKDF length");
        key
    }
}

/// Fresh random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// 128 random bits as text that needs no escaping anywhere.
pub(crate) fn random_name() -> String {
    URL_SAFE_NO_PAD.encode(random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_round_trips_and_names_its_kind() {
        let token = Credential::mint(Prefix::Access);
        let text = token.text();
        assert!(text.starts_with("icg_at_"));
        let parsed = Credential::parse(Prefix::Access, &text).unwrap();
        assert_eq!(parsed.digest(), token.digest());
        assert_eq!(parsed.secret(), token.secret());
        assert!(Credential::parse(Prefix::Refresh, &text).is_none());
        assert!(Credential::parse(Prefix::Access, &text[..text.len() - 1]).is_none());
        assert!(Credential::parse(Prefix::Access, &format!("{}A", *text)).is_none());
    }

    #[test]
    fn the_secret_is_not_the_sealing_key_and_differs_between_credentials() {
        let token = Credential::mint(Prefix::Access);
        assert_ne!(token.secret().expose(), &*token.derive(SEAL_INFO));
        assert_ne!(token.secret(), Credential::mint(Prefix::Access).secret());
        assert_ne!(
            token.form_token("a").as_bytes(),
            token.secret().expose().as_slice()
        );
        assert_ne!(token.form_token("a"), token.form_token("b"));
    }

    #[test]
    fn only_the_sealing_credential_unseals() {
        let code = Credential::mint(Prefix::Code);
        let access = Credential::mint(Prefix::Access);
        let refresh = Credential::mint(Prefix::Refresh);
        let mut sealed = code.seal_all(&[&access, &refresh]);
        let pair = [Prefix::Access, Prefix::Refresh];
        let opened = code.unseal_all(&sealed, &pair).unwrap();
        assert_eq!(opened[0].text(), access.text());
        assert_eq!(opened[1].text(), refresh.text());
        assert!(
            Credential::mint(Prefix::Code)
                .unseal_all(&sealed, &pair)
                .is_none()
        );
        sealed[30] ^= 1;
        assert!(code.unseal_all(&sealed, &pair).is_none());
        assert!(code.unseal_all(&[], &pair).is_none());
    }
}
