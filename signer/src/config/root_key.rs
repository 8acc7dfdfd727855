use std::{fs, path::Path};

/// DER of a BLS12-381 public key up to the key itself, and the whole length.
const PREFIX: &str = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100";
const LENGTH: usize = 133;
/// The Internet Computer's root key.
const MAINNET: &str = "814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae";

/// The Internet Computer's root key, DER.
pub(super) fn mainnet() -> Vec<u8> {
    hex::decode(format!("{PREFIX}{MAINNET}")).expect("the constants are hexadecimal")
}

/// Hexadecimal DER, or a file that holds it in binary or hexadecimal.
pub(super) fn read(base: &Path, text: &str) -> Result<Vec<u8>, String> {
    if text == "fetch" {
        return Err("cannot be \"fetch\": the signer only trusts a key it was given".to_owned());
    }
    let key = match hex::decode(text) {
        Ok(key) => key,
        Err(_) => {
            let path = base.join(text);
            let bytes = fs::read(&path)
                .map_err(|error| format!("is neither hexadecimal nor a readable file: {error}"))?;
            let hexadecimal = std::str::from_utf8(&bytes).ok();
            hexadecimal
                .and_then(|text| hex::decode(text.trim()).ok())
                .unwrap_or(bytes)
        }
    };
    let is_root_key = key.len() == LENGTH && hex::encode(&key).starts_with(PREFIX);
    is_root_key
        .then_some(key)
        .ok_or_else(|| "is not a root key (DER of a BLS12-381 key)".to_owned())
}
