//! What the gateway keeps on disk.
