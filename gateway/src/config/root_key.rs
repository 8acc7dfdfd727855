use std::{path::Path, time::Duration};

use ic_agent::Agent;
use url::Url;

use super::ConfigError;

/// What every DER-encoded BLS12-381 public key of the Internet Computer begins with: SEQUENCE, the two object
/// identifiers (algorithm and curve), BIT STRING of 96 bytes.
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];
const KEY_LENGTH: usize = DER_PREFIX.len() + 96;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// What `IC_ROOT_KEY` says.
pub(super) enum RootKey {
    /// Use this one.
    Pinned(Vec<u8>),
    /// Ask the (local) replica at start.
    Fetch,
}

/// Reads `fetch`, hex DER, or the path of a file that holds the key as DER or as hex.
pub(super) fn parse(text: &str, folder: &Path) -> Result<RootKey, String> {
    if text == "fetch" {
        return Ok(RootKey::Fetch);
    }
    let bytes = match hex::decode(text) {
        Ok(bytes) => bytes,
        Err(_) => {
            let path = folder.join(text);
            let content = std::fs::read(&path).map_err(|error| {
                format!(
                    "is neither hex nor a readable file ({}: {error})",
                    path.display()
                )
            })?;
            match std::str::from_utf8(&content).map(|text| hex::decode(text.trim())) {
                Ok(Ok(bytes)) => bytes,
                _ => content,
            }
        }
    };
    if bytes.len() == KEY_LENGTH && bytes.starts_with(&DER_PREFIX) {
        Ok(RootKey::Pinned(bytes))
    } else {
        Err("is not the DER form of a BLS12-381 public key".to_owned())
    }
}

/// Asks the replica at `url` (`GET /api/v2/status`).
pub(super) async fn fetch(url: &Url) -> Result<Vec<u8>, ConfigError> {
    let failed = |cause: String| ConfigError::RootKey {
        url: url.clone(),
        cause,
    };
    let asking = async {
        let agent = Agent::builder().with_url(url.as_str()).build()?;
        agent.status().await
    };
    let status = tokio::time::timeout(FETCH_TIMEOUT, asking)
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    status
        .root_key
        .filter(|key| key.len() == KEY_LENGTH && key.starts_with(&DER_PREFIX))
        .ok_or_else(|| failed("its status names no root key".to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn a_key_is_taken_as_hex_or_from_a_file_in_either_form() {
        let mut key = DER_PREFIX.to_vec();
        key.extend([7; 96]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.der"), &key).unwrap();
        std::fs::write(
            folder.path().join("root.hex"),
            format!("{}\n", hex::encode(&key)),
        )
        .unwrap();

        for text in [hex::encode(&key).as_str(), "root.der", "root.hex"] {
            assert!(
                matches!(parse(text, folder.path()), Ok(RootKey::Pinned(read)) if read == key),
                "{text}"
            );
        }
        assert!(matches!(parse("fetch", folder.path()), Ok(RootKey::Fetch)));
        assert!(parse("absent.der", folder.path()).is_err());
        assert!(parse(&hex::encode(&key[1..]), folder.path()).is_err());
    }

    #[tokio::test]
    async fn a_local_replica_is_asked_for_its_key() {
        let mut key = DER_PREFIX.to_vec();
        key.extend([7; 96]);
        // Self-described CBOR: a map of one text to one byte string.
        let mut status = hex::decode("d9d9f7a168726f6f745f6b65795885").unwrap();
        status.extend(&key);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let answering = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let count = stream.read(&mut asked).await.unwrap();
            assert!(asked[..count].starts_with(b"GET /api/v2/status "));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n",
                status.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&status).await.unwrap();
        };
        let (fetched, ()) = tokio::join!(fetch(&url), answering);
        assert_eq!(fetched.unwrap(), key);
        drop(listener);
        assert!(matches!(
            fetch(&url).await,
            Err(ConfigError::RootKey { .. })
        ));
    }
}
