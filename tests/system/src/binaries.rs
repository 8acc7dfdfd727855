use std::{
    env,
    path::{Path, PathBuf},
};

/// A binary of the workspace, looked for in `ICGATE_BIN_DIR` or beside the running executable.
///
/// # Panics
/// When it was not built.
pub fn binary(name: &str) -> PathBuf {
    let here = env::current_exe().expect("the path of the running test");
    let configured = env::var_os("ICGATE_BIN_DIR").map(PathBuf::from);
    // A test runs from target/<profile>/deps, a binary from target/<profile>.
    configured
        .iter()
        .map(PathBuf::as_path)
        .chain(here.ancestors().skip(1).take(2))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("{name} was not built: run `cargo build --workspace --all-targets` first")
        })
}

/// The root of the source tree.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
