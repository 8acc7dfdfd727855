//! Finding canister ids in what websites publish: pages, scripts, and the texts inside them.
//!
//! Everything here is a function of its text alone, linear in its length, and bounded in what it gives. Nothing is
//! executed, and nothing of it is trusted: an id that is found is a hint that somebody has to check.

mod html;
mod mention;
mod reference;

pub use self::{
    html::{Page, mine},
    mention::{Mention, mentions},
    reference::references,
};
