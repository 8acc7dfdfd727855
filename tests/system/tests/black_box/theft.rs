//! What a thief of the disks gets: nothing that signs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use candid::Principal;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use icgate_proto::{
    ConnectionSecret, Reason,
    v1::{ConnectionRef, DescribeRequest},
};
use icgate_system::{Consent, Era, Instance, SignerConnection, Stack};
use sha2::{Digest, Sha256};
use sqlx::{Column, Row, ValueRef, sqlite::SqlitePoolOptions};

use crate::APP;

/// DER of an Ed25519 public key before its 32 bytes (RFC 8410).
const ED25519_DER_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The connection secret behind a credential, as the design derives it.
fn connection_secret(credential: &str) -> ConnectionSecret {
    let (_prefix, encoded) = credential.split_at("icg_at_".len());
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(encoded)
        .expect("a credential's encoding");
    let mut secret = [0; ConnectionSecret::LEN];
    Hkdf::<Sha256>::new(None, &bytes)
        .expand(b"icgate connection secret v1", &mut secret)
        .expect("32 bytes from HKDF");
    ConnectionSecret::new(secret)
}

/// Every value of a SQLite database: texts, and blobs as they are.
async fn database_values(path: &Path) -> (BTreeSet<String>, BTreeSet<Vec<u8>>) {
    let url = format!("sqlite://{}", path.display());
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .expect("the copy");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
            .fetch_all(&pool)
            .await
            .expect("the tables");
    let (mut texts, mut blobs) = (BTreeSet::new(), BTreeSet::new());
    for table in tables {
        let statement = sqlx::AssertSqlSafe(format!("SELECT * FROM \"{table}\""));
        for row in sqlx::query(statement)
            .fetch_all(&pool)
            .await
            .expect("the rows")
        {
            for column in row.columns() {
                let value = row.try_get_raw(column.ordinal()).expect("a value");
                if value.is_null() {
                    continue;
                }
                if let Ok(text) = row.try_get_unchecked::<String, _>(column.ordinal()) {
                    texts.insert(text);
                }
                if let Ok(blob) = row.try_get_unchecked::<Vec<u8>, _>(column.ordinal()) {
                    blobs.insert(blob);
                }
            }
        }
    }
    (texts, blobs)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a state directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn databases_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = files_below(dir);
    files.retain(|file| fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")));
    assert!(!files.is_empty(), "no database below {}", dir.display());
    files
}

/// Everything of 32 bytes that a thief may try as a secret: what lies in the files and its hashes.
fn candidates(texts: &BTreeSet<String>, blobs: &BTreeSet<Vec<u8>>) -> Vec<ConnectionSecret> {
    let mut raw: BTreeSet<Vec<u8>> = blobs.clone();
    for text in texts {
        raw.insert(text.clone().into_bytes());
        raw.extend(hex::decode(text));
        raw.extend(BASE64_URL_SAFE_NO_PAD.decode(text));
    }
    let hashes: Vec<Vec<u8>> = raw
        .iter()
        .map(|bytes| Sha256::digest(bytes).to_vec())
        .collect();
    raw.extend(hashes);
    raw.iter()
        .filter_map(|bytes| ConnectionSecret::try_from(bytes.as_slice()).ok())
        .collect()
}

#[tokio::test]
async fn both_databases_and_the_master_key_sign_nothing_without_a_token() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;

    let stolen = stack.dir().join("stolen");
    let copy = stack
        .signer
        .start_copy(&stolen, &stack.devnet, stack.gateway.url())
        .await;
    let (mut texts, mut blobs) = (BTreeSet::new(), BTreeSet::new());
    for dir in [stack.gateway.state_dir(), stolen.join("state")] {
        // Read from a copy of its own: a reader of the database would change the file under the processes.
        let aside = stack.dir().join(format!("aside-{}", texts.len()));
        fs::create_dir_all(&aside).expect("a directory");
        for file in files_below(&dir) {
            fs::copy(&file, aside.join(file.file_name().expect("a name"))).expect("a copy");
        }
        for database in databases_below(&aside) {
            let (more_texts, more_blobs) = database_values(&database).await;
            texts.extend(more_texts);
            blobs.extend(more_blobs);
        }
    }
    let master_key = fs::read_to_string(stolen.join("signer").join("master.key")).expect("the key");
    texts.insert(master_key.trim().to_owned());

    let is_id = |text: &&String| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 16)
    };
    let ids: Vec<&String> = texts.iter().filter(is_id).collect();
    let secrets = candidates(&texts, &blobs);
    assert!(
        !ids.is_empty() && secrets.len() > 4,
        "the databases were read: {texts:?}"
    );

    let thief = copy.client();
    let describe = |id: &str, secret: &ConnectionSecret| DescribeRequest {
        connection: Some(ConnectionRef {
            connection_id: id.to_owned(),
            secret: secret.to_wire(),
        }),
    };
    for id in &ids {
        for secret in &secrets {
            let error = thief
                .describe(describe(id, secret))
                .await
                .expect_err("nothing opens");
            assert_eq!(error.reason, Reason::SecretRefused, "{error}");
        }
    }

    // The copy works all the same: with the token it opens.
    let secret = connection_secret(&tokens.access_token);
    let mut opened = 0;
    for id in &ids {
        if thief.describe(describe(id, &secret)).await.is_ok() {
            opened += 1;
        }
    }
    assert_eq!(opened, 1, "the token opens its own connection");
}

/// Whether some 32 bytes of the file are the private key of one of these public keys (DER) or principals.
fn private_key_in(bytes: &[u8], ders: &[Vec<u8>], principals: &BTreeSet<Principal>) -> bool {
    let seeds: BTreeSet<&[u8]> = bytes
        .windows(32)
        .filter(|window| window.iter().filter(|b| **b == 0).count() < 4)
        .collect();
    seeds.iter().any(|seed| {
        let seed: [u8; 32] = (*seed).try_into().expect("a window of 32");
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let der = [&ED25519_DER_PREFIX[..], public.as_bytes()].concat();
        ders.contains(&der) || principals.contains(&Principal::self_authenticating(&der))
    })
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[tokio::test]
async fn no_key_and_no_credential_lies_in_a_file_in_clear() {
    let mut stack = Stack::start().await;
    let (client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let tokens = client.refreshed(&first.refresh_token).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;

    // A connection whose registration key the test knows, beside the agent's.
    let signer = stack.signer.client();
    let secret = SignerConnection::secret("direct");
    let direct = SignerConnection::begin(&signer, Instance::Beta, secret.clone())
        .await
        .expect("begin");
    let ders = vec![direct.registration_key_der().to_vec()];
    // Whoever signed at Internet Identity did it with a session or registration key.
    let requests = stack.devnet.requests().await;
    let principals: BTreeSet<Principal> = requests
        .iter()
        .filter_map(|request| request.sender.as_deref()?.parse().ok())
        .filter(|principal| *principal != Principal::anonymous())
        .collect();
    assert!(!principals.is_empty(), "{requests:?}");

    let mut secrets: Vec<Vec<u8>> = vec![secret.expose().to_vec()];
    for token in [
        &first.access_token,
        &first.refresh_token,
        &tokens.access_token,
        &tokens.refresh_token,
    ] {
        let (_, encoded) = token.split_at("icg_at_".len());
        secrets.push(encoded.as_bytes().to_vec());
        secrets.push(
            BASE64_URL_SAFE_NO_PAD
                .decode(encoded)
                .expect("a credential"),
        );
        secrets.push(connection_secret(token).expose().to_vec());
    }

    stack.gateway.kill();
    stack.signer.kill();
    let mut files = files_below(&stack.gateway.state_dir());
    files.extend(files_below(&stack.signer.state_dir()));
    for file in files {
        let bytes = fs::read(&file).expect("a file of the state");
        for secret in &secrets {
            assert!(
                !holds(&bytes, secret),
                "a credential lies in {}",
                file.display()
            );
        }
        assert!(
            !private_key_in(&bytes, &ders, &principals),
            "a private key lies in {}",
            file.display()
        );
    }
}

#[test]
fn the_search_for_private_keys_finds_one() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let der = [&ED25519_DER_PREFIX[..], key.verifying_key().as_bytes()].concat();
    let file = [&b"some bytes before"[..], key.as_bytes(), b"and after"].concat();
    assert!(private_key_in(
        &file,
        std::slice::from_ref(&der),
        &BTreeSet::new()
    ));
    let principals = BTreeSet::from([Principal::self_authenticating(&der)]);
    assert!(private_key_in(&file, &[], &principals));
    assert!(!private_key_in(&file[..40], &[der], &principals));
}

#[cfg(unix)]
#[tokio::test]
async fn state_and_keys_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let stack = Stack::start().await;
    let dir = stack.dir().join("signer");
    let secret = [
        dir.join("ca").join("ca.key"),
        dir.join("signer").join("signer.key"),
        dir.join("signer").join("master.key"),
        dir.join("gateway").join("gateway.key"),
    ];
    let databases = databases_below(&stack.gateway.state_dir())
        .into_iter()
        .chain(databases_below(&stack.signer.state_dir()));
    for file in secret.into_iter().chain(databases) {
        let mode = fs::metadata(&file).expect("the file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{} has mode {mode:o}", file.display());
    }
    assert!(
        !dir.join("signer").join("ca.key").exists() && !dir.join("gateway").join("ca.key").exists()
    );
}
