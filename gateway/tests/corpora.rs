//! Replays the kept inputs of every fuzz target; finding new ones is the work of cargo-fuzz (`tests/fuzz`).
#![forbid(unsafe_code)]

#[expect(unreachable_pub, reason = "they are the interface of the fuzz crate")]
#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    let inputs = fs::read_dir(corpus.join(name)).expect("a corpus in the tree");
    let mut replayed = 0;
    for input in inputs {
        let path = input.expect("a file of the corpus").path();
        println!("{}", path.display());
        target(&fs::read(&path).expect("a file of the corpus"));
        replayed += 1;
    }
    assert!(replayed >= 5, "{name}: {replayed}");
}

#[test]
fn candid_text() {
    replay("candid_text", targets::candid_text);
}

#[test]
fn reply() {
    replay("reply", targets::reply);
}

#[test]
fn mining() {
    replay("mining", targets::mining);
}

#[test]
fn url_guard() {
    replay("url_guard", targets::url_guard);
}
