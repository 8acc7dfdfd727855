use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::Failure;
use crate::vault::random;

const LIFETIME: Duration = Duration::days(3650);
const GATEWAY_SAN: &str = "spiffe://icgate/gateway";

#[derive(Args)]
pub(super) struct InitArgs {
    /// Where the directories ca, signer and gateway are made.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// A further DNS name under which the gateway reaches the signer; may be repeated.
    #[arg(long, value_name = "NAME")]
    signer_name: Vec<String>,
}

/// Makes what is absent; what is there stays as it is.
pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    let dir = &args.dir;
    let (ca, signer, gateway) = (dir.join("ca"), dir.join("signer"), dir.join("gateway"));
    for path in [dir, &ca, &signer, &gateway] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at(path))?;
    }
    let master_key = signer.join("master.key");
    if !master_key.exists() {
        let key = Zeroizing::new(random::<32>());
        write_private(&master_key, &Zeroizing::new(hex::encode(*key)))?;
    }
    let leaves = [
        Leaf {
            dir: signer,
            name: "signer",
            sans: signer_sans(&args.signer_name)?,
        },
        Leaf {
            dir: gateway,
            name: "gateway",
            sans: vec![SanType::URI(ia5(GATEWAY_SAN)?)],
        },
    ];
    let absent: Vec<&Leaf> = leaves.iter().filter(|leaf| !leaf.is_there()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let ca = Ca::load_or_make(&ca, absent.len() == leaves.len())?;
    absent.into_iter().try_for_each(|leaf| leaf.make(&ca))
}

/// The private CA of the link between gateway and signer.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    /// A new CA is made only when nothing was issued before: certificates of two CAs would not accept each other.
    fn load_or_make(dir: &Path, may_make: bool) -> Result<Self, Failure> {
        let (key_path, pem_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        match (read(&key_path)?, read(&pem_path)?) {
            (Some(key), Some(pem)) => {
                let key = KeyPair::from_pem(&Zeroizing::new(key)).map_err(Failure::other)?;
                let issuer = Issuer::new(ca_params(), key);
                Ok(Self { issuer, pem })
            }
            (None, None) if may_make => {
                let key = KeyPair::generate().map_err(Failure::other)?;
                let pem = ca_params().self_signed(&key).map_err(Failure::other)?.pem();
                write_private(&key_path, &Zeroizing::new(key.serialize_pem()))?;
                write_private(&pem_path, &pem)?;
                Ok(Self {
                    issuer: Issuer::new(ca_params(), key),
                    pem,
                })
            }
            _ => Err(Failure::Other(format!(
                "{} and {} are needed to issue the missing certificate; put both back, or remove the directories ca, signer/signer.* and gateway to start over",
                key_path.display(),
                pem_path.display()
            ))),
        }
    }
}

/// A certificate with its key and the CA that its peer is checked against.
struct Leaf {
    dir: PathBuf,
    name: &'static str,
    sans: Vec<SanType>,
}

impl Leaf {
    fn is_there(&self) -> bool {
        self.paths().iter().all(|path| path.exists())
    }

    fn paths(&self) -> [PathBuf; 3] {
        let file = |suffix: &str| self.dir.join(format!("{}.{suffix}", self.name));
        [file("key"), file("pem"), self.dir.join("ca.pem")]
    }

    fn make(&self, ca: &Ca) -> Result<(), Failure> {
        let mut params = params(&format!("icgate {}", self.name));
        params.subject_alt_names.clone_from(&self.sans);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // The signer is also a client: its health command asks itself.
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate().map_err(Failure::other)?;
        let certificate = params.signed_by(&key, &ca.issuer).map_err(Failure::other)?;
        let [key_path, pem_path, ca_path] = self.paths();
        write_private(&key_path, &Zeroizing::new(key.serialize_pem()))?;
        write_private(&pem_path, &certificate.pem())?;
        write_private(&ca_path, &ca.pem)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::now_utc();
    // A peer's clock may be a little behind.
    params.not_before = now - Duration::days(1);
    params.not_after = now + LIFETIME;
    params
}

fn ca_params() -> CertificateParams {
    let mut params = params("icgate signer-link CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn signer_sans(names: &[String]) -> Result<Vec<SanType>, Failure> {
    let mut sans = vec![
        SanType::DnsName(ia5("localhost")?),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
    ];
    for name in names {
        sans.push(SanType::DnsName(ia5(name)?));
    }
    Ok(sans)
}

fn ia5<T: for<'a> TryFrom<&'a str>>(text: &str) -> Result<T, Failure> {
    T::try_from(text).map_err(|_| Failure::Other(format!("`{text}` cannot stand in a certificate")))
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Writes a file that only its owner reads; it is either whole or not there.
fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Other(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

    use super::*;

    fn args(dir: &Path) -> InitArgs {
        InitArgs {
            dir: dir.join("made"),
            signer_name: vec!["signer.example".to_owned()],
        }
    }

    fn make(dir: &Path) -> BTreeMap<PathBuf, (u32, String)> {
        assert!(init(&args(dir)).is_ok());
        let mut files = BTreeMap::new();
        for part in ["ca", "signer", "gateway"] {
            for entry in fs::read_dir(dir.join("made").join(part)).unwrap() {
                let path = entry.unwrap().path();
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path, (mode, text));
            }
        }
        files
    }

    #[test]
    fn makes_private_files_once() {
        let dir = tempfile::tempdir().unwrap();
        let made = make(dir.path());
        assert_eq!(made.len(), 9, "{:?}", made.keys());
        assert!(made.values().all(|(mode, _)| *mode == 0o600));
        for part in ["", "ca", "signer", "gateway"] {
            let mode = fs::metadata(dir.path().join("made").join(part))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o700, "{part}");
        }
        assert_eq!(make(dir.path()), made);
    }

    #[test]
    fn issues_what_is_missing_under_the_same_ca_and_never_under_another() {
        let dir = tempfile::tempdir().unwrap();
        let made = make(dir.path());
        let root = dir.path().join("made");
        fs::remove_file(root.join("gateway/gateway.pem")).unwrap();
        let again = make(dir.path());
        for kept in [
            "ca/ca.pem",
            "ca/ca.key",
            "signer/signer.pem",
            "signer/master.key",
            "gateway/ca.pem",
        ] {
            assert_eq!(again[&root.join(kept)], made[&root.join(kept)], "{kept}");
        }
        fs::remove_file(root.join("gateway/gateway.pem")).unwrap();
        fs::rename(root.join("ca/ca.key"), root.join("kept-aside")).unwrap();
        assert!(init(&args(dir.path())).is_err());
    }
}
