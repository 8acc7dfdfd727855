//! Compiles the .proto files with protox, so that no protoc is needed on the machine.

use std::{env, error::Error, fs, path::PathBuf};

use protox::prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=icgate");
    let files = protox::compile(["icgate/signer/v1/signer.proto"], ["."])?;
    // Reflection serves the descriptors at run time.
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("icgate_descriptor.bin"),
        files.encode_to_vec(),
    )?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
