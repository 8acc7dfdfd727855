//! What the two processes are compared with.

mod in_process;
mod process;
mod server;

pub(crate) use in_process::InProcess;
pub(crate) use process::Baseline;
pub(crate) use server::serve;
