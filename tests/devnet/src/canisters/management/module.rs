//! A Wasm module as far as the system looks into it: is it one, what is its hash, and which
//! metadata does it carry. Its code is not run: every installed canister has the same few methods.

use std::{collections::BTreeMap, io::Read};

use flate2::read::GzDecoder;

use crate::replica::public_key::sha256;

const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
/// Largest module, in bytes, after decompression.
const MAX_MODULE: u64 = 100 << 20;
/// Names of custom sections that are metadata anybody may read.
const PUBLIC: &str = "icp:public ";

#[derive(Clone)]
pub(super) struct Module {
    /// Over the bytes as they were installed, compressed or not.
    pub(super) hash: [u8; 32],
    /// In bytes, as installed.
    pub(super) size: u64,
    /// Public metadata sections by their name without the prefix.
    pub(super) metadata: BTreeMap<String, Vec<u8>>,
}

impl Module {
    /// Reads a module. The error is a sentence of the system's.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wasm = if bytes.starts_with(GZIP) {
            let mut wasm = Vec::new();
            GzDecoder::new(bytes)
                .take(MAX_MODULE + 1)
                .read_to_end(&mut wasm)
                .map_err(|error| format!("Failed to decode wasm module: {error}"))?;
            wasm
        } else {
            bytes.to_vec()
        };
        if wasm.len() as u64 > MAX_MODULE {
            return Err(format!(
                "Wasm module size of {} exceeds the maximum allowed size of {MAX_MODULE}.",
                wasm.len()
            ));
        }
        let mut sections = wasm.strip_prefix(MAGIC).ok_or_else(|| {
            "Failed to decode wasm module: unsupported canister module format.".to_owned()
        })?;
        let mut metadata = BTreeMap::new();
        while let Some((id, content, rest)) = section(sections) {
            if id == 0
                && let Some((name, value)) = custom(content)
                && let Some(name) = name.strip_prefix(PUBLIC)
            {
                metadata.insert(name.to_owned(), value.to_vec());
            }
            sections = rest;
        }
        if !sections.is_empty() {
            return Err("Failed to decode wasm module: unexpected end of a section.".to_owned());
        }
        Ok(Self {
            hash: sha256(bytes),
            size: bytes.len() as u64,
            metadata,
        })
    }
}

/// The first section: its id, its content, and what follows.
fn section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (id, mut rest) = bytes.split_first()?;
    let length = usize::try_from(leb128::read::unsigned(&mut rest).ok()?).ok()?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*id, content, rest))
}

/// Name and value of a custom section.
fn custom(mut content: &[u8]) -> Option<(&str, &[u8])> {
    let length = usize::try_from(leb128::read::unsigned(&mut content).ok()?).ok()?;
    let (name, value) = content.split_at_checked(length)?;
    Some((std::str::from_utf8(name).ok()?, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_section(name: &str, value: &[u8]) -> Vec<u8> {
        let mut content = vec![name.len() as u8];
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(value);
        let mut module = MAGIC.to_vec();
        module.extend([0, content.len() as u8]);
        module.extend(content);
        module
    }

    #[test]
    fn public_metadata_is_found() {
        let wasm = with_section("icp:public candid:service", b"service : {}");
        let module = Module::parse(&wasm).unwrap();
        assert_eq!(module.metadata["candid:service"], b"service : {}");
        assert_eq!(module.hash, sha256(&wasm));
        let private = with_section("icp:private candid:service", b"service : {}");
        assert!(Module::parse(&private).unwrap().metadata.is_empty());
    }

    #[test]
    fn what_is_no_module_is_not_taken() {
        let cut = &with_section("name", b"12345")[..14];
        for bytes in [b"".as_slice(), b"\0asm", b"#!/bin/sh\n\n", cut, GZIP] {
            assert!(Module::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
