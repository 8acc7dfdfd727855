//! Configuration mistakes: all of them at once, each with its place, exit status 78.

use std::{fs, path::Path};

use icgate_system::Spawn;

const EX_CONFIG: i32 = 78;

fn gateway(dir: &Path, config: &str) -> (Option<i32>, String) {
    let file = dir.join("gateway.toml");
    fs::write(&file, config).expect("gateway.toml");
    let path = file.to_str().expect("a temporary path in UTF-8");
    let (status, log) = Spawn::new("icgate", dir)
        .arg("serve")
        .env("ICGATE_CONFIG", path)
        .run();
    (status.code(), log)
}

#[test]
fn the_gateway_lists_every_mistake_with_its_line() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = "port = 99999\n\npublic_url = \"not a url\"\nnonsense = 1\n";
    let (code, log) = gateway(dir.path(), config);
    assert_eq!(code, Some(EX_CONFIG), "{log}");
    for place in ["gateway.toml:1", "gateway.toml:3", "gateway.toml:4"] {
        assert!(log.contains(place), "{place} in {log}");
    }
    assert!(log.contains("nonsense"), "{log}");
}

#[test]
fn an_unknown_group_of_tools_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (code, log) = gateway(dir.path(), "icgate_tools = [\"skills\", \"wallet\"]\n");
    assert_eq!(code, Some(EX_CONFIG), "{log}");
    assert!(
        log.contains("gateway.toml:1") && log.contains("`wallet`"),
        "{log}"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (status, log) = Spawn::new("icgate", dir.path())
        .arg("serve")
        .env("PORT", "many")
        .run();
    assert_eq!(status.code(), Some(EX_CONFIG), "{log}");
    assert!(log.contains("PORT"), "{log}");
}

#[test]
fn plain_http_and_development_stay_on_loopback() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (code, log) = gateway(dir.path(), "public_url = \"http://icgate.example\"\n");
    assert_eq!(code, Some(EX_CONFIG), "{log}");
    let config = "public_url = \"https://icgate.example\"\nicgate_dev = \"1\"\n";
    let (code, log) = gateway(dir.path(), config);
    assert_eq!(code, Some(EX_CONFIG), "{log}");
    assert!(log.to_lowercase().contains("icgate_dev"), "{log}");
}

#[test]
fn a_root_key_is_fetched_from_loopback_only_and_never_by_the_signer() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (code, log) = gateway(dir.path(), "ic_root_key = \"fetch\"\n");
    assert_eq!(code, Some(EX_CONFIG), "{log}");

    let path = dir.path().to_str().expect("a temporary path in UTF-8");
    let signer = |name: &str| Spawn::new("icgate-signer", dir.path()).arg(name);
    let (status, log) = signer("init").arg("--dir").arg(path).run();
    assert!(status.success(), "{log}");
    let config = dir.path().join("signer").join("signer.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = \"{path}/state\"\nic_url = \"http://127.0.0.1:9\"\n\
         ic_root_key = \"fetch\"\nnonsense = 1\n\
         [tls]\ncert = \"signer.pem\"\nkey = \"signer.key\"\nclient_ca = \"ca.pem\"\n\
         [master_key]\nprovider = \"file:master.key\"\ngeneration = \"1\"\n"
    );
    fs::write(&config, text).expect("signer.toml");
    let (status, log) = signer("run")
        .arg("--config")
        .arg(config.to_str().expect("UTF-8"))
        .run();
    assert_eq!(status.code(), Some(EX_CONFIG), "{log}");
    assert!(log.contains("signer.toml"), "the file at fault: {log}");
}

#[test]
fn a_second_init_changes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_str().expect("a temporary path in UTF-8");
    let init = || {
        Spawn::new("icgate-signer", dir.path())
            .arg("init")
            .arg("--dir")
            .arg(path)
            .run()
    };
    let (status, log) = init();
    assert!(status.success(), "{log}");
    let files = [
        "signer/master.key",
        "signer/signer.pem",
        "gateway/gateway.pem",
        "ca/ca.key",
    ];
    let read = |file: &&str| fs::read(dir.path().join(file)).expect("a file of init");
    let before: Vec<Vec<u8>> = files.iter().map(read).collect();
    let (status, log) = init();
    assert!(status.success(), "{log}");
    assert_eq!(files.iter().map(read).collect::<Vec<_>>(), before);
}
