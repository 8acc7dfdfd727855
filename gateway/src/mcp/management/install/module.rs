//! What has to be known of a Wasm module before it is installed (WebAssembly core specification 5.5).

use std::io::{self, Read};

use flate2::read::GzDecoder;
use tokio::task::spawn_blocking;

const MAGIC: &[u8; 8] = b"\0asm\x01\0\0\0";
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// Most bytes that a compressed module is unpacked to; the network's own bound.
const MAX_UNPACKED: u64 = 100 << 20;
/// Longest section that is read, and longest name of one.
const MAX_SECTION: u64 = 1 << 20;
const MAX_NAME: u64 = 128;

const CUSTOM: u8 = 0;
/// Types of the init argument; either visibility.
const INIT_ARGS: [&[u8]; 2] = [b"icp:public candid:args", b"icp:private candid:args"];
/// Stands in modules whose state lies in their main memory (Motoko's enhanced orthogonal persistence).
const KEEPS_MEMORY: [&[u8]; 2] = [
    b"icp:private enhanced-orthogonal-persistence",
    b"icp:public enhanced-orthogonal-persistence",
];

/// What a module says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Types of the init argument in Candid's notation.
    pub(super) init_args: Option<String>,
    /// Whether an upgrade has to keep the main memory.
    pub(super) keeps_memory: bool,
}

/// Why bytes are no module.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotWasm {
    #[error("it does not begin like one")]
    Magic,
    #[error("it ends in the middle of a section")]
    Cut,
    #[error("its compressed form is broken")]
    Compression,
    #[error("it is larger than 100 MiB when unpacked")]
    TooLarge,
    #[error("it could not be read")]
    Unreadable,
}

impl Module {
    /// Reads a module away from the threads that serve requests, and gives its bytes back.
    pub(super) async fn read(wasm: Vec<u8>) -> Result<(Vec<u8>, Self), NotWasm> {
        let reading = spawn_blocking(move || Self::of(&wasm).map(|module| (wasm, module)));
        reading.await.map_err(|_| NotWasm::Unreadable)?
    }

    fn of(wasm: &[u8]) -> Result<Self, NotWasm> {
        if !wasm.starts_with(GZIP) {
            return Self::scan(wasm);
        }
        let mut unpacked = GzDecoder::new(wasm).take(MAX_UNPACKED + 1);
        let scanned = Self::scan(&mut unpacked);
        if unpacked.limit() == 0 {
            return Err(NotWasm::TooLarge);
        }
        scanned
    }

    fn scan(mut from: impl Read) -> Result<Self, NotWasm> {
        let mut magic = [0; 8];
        match from.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(NotWasm::Compression);
            }
            _ => return Err(NotWasm::Magic),
        }
        let mut module = Self::default();
        let mut id = [0];
        while from.read(&mut id).map_err(|_| NotWasm::Compression)? == 1 {
            let length = number(&mut from)?;
            let mut section = (&mut from).take(length);
            if id[0] == CUSTOM {
                module.note(&mut section)?;
            }
            let rest = section.limit();
            let skipped = io::copy(&mut section, &mut io::sink());
            if skipped.map_err(|_| NotWasm::Compression)? != rest {
                return Err(NotWasm::Cut);
            }
        }
        Ok(module)
    }

    /// Looks at a custom section.
    fn note(&mut self, section: &mut impl Read) -> Result<(), NotWasm> {
        let length = number(section)?;
        if length > MAX_NAME {
            return Ok(());
        }
        let name = some(section, length)?;
        if KEEPS_MEMORY.contains(&name.as_slice()) {
            self.keeps_memory = true;
        } else if INIT_ARGS.contains(&name.as_slice()) {
            let text = some(section, MAX_SECTION)?;
            self.init_args = String::from_utf8(text).ok();
        }
        Ok(())
    }
}

/// An unsigned LEB128 number.
fn number(from: &mut impl Read) -> Result<u64, NotWasm> {
    leb128::read::unsigned(from).map_err(|_| NotWasm::Cut)
}

/// At most so many bytes.
fn some(from: &mut impl Read, most: u64) -> Result<Vec<u8>, NotWasm> {
    let mut bytes = Vec::new();
    from.take(most)
        .read_to_end(&mut bytes)
        .map_err(|_| NotWasm::Compression)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn with_section(name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut module = MAGIC.to_vec();
        module.push(CUSTOM);
        leb128::write::unsigned(&mut module, (1 + name.len() + value.len()) as u64).unwrap();
        module.push(name.len() as u8);
        module.extend_from_slice(name);
        module.extend_from_slice(value);
        module
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_module_says_what_its_argument_is_plain_or_packed() {
        let plain = with_section(INIT_ARGS[0], b"(nat, opt text)");
        for wasm in [packed(&plain), plain] {
            let module = Module::of(&wasm).unwrap();
            assert_eq!(module.init_args.as_deref(), Some("(nat, opt text)"));
            assert!(!module.keeps_memory);
        }
        let keeps = with_section(KEEPS_MEMORY[0], b"");
        assert!(Module::of(&keeps).unwrap().keeps_memory);
        assert_eq!(
            Module::of(&with_section(b"name", b"x")),
            Ok(Module::default())
        );
        assert_eq!(Module::of(MAGIC), Ok(Module::default()));
    }

    #[test]
    fn what_is_no_module_is_told_from_one() {
        let mut cut = with_section(b"name", b"12345");
        cut.truncate(12);
        let half = &packed(&with_section(b"name", &[7; 4096]))[..30];
        for (bytes, error) in [
            (b"".as_slice(), NotWasm::Magic),
            (b"\0asm", NotWasm::Magic),
            (b"#!/bin/sh\nrm -rf /", NotWasm::Magic),
            (&cut, NotWasm::Cut),
            (&packed(b"text"), NotWasm::Magic),
        ] {
            assert_eq!(Module::of(bytes), Err(error), "{bytes:?}");
        }
        assert!(Module::of(half).is_err());
    }

    #[test]
    fn a_packed_module_is_unpacked_up_to_a_bound() {
        let mut bomb = MAGIC.to_vec();
        bomb.push(1);
        leb128::write::unsigned(&mut bomb, MAX_UNPACKED * 2).unwrap();
        bomb.resize(MAX_UNPACKED as usize + 1024, 0);
        assert_eq!(Module::of(&packed(&bomb)), Err(NotWasm::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_module_or_not(tail in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Module::of(&tail);
            let _ = Module::of(&[MAGIC.as_slice(), &tail].concat());
            let _ = Module::of(&[GZIP, &tail].concat());
        }
    }
}
