//! What a bundle holds beside the artifacts: the account of how they were got.

pub mod diff;
pub mod inventory;
pub mod manifest;
pub mod plan;
pub mod redacted;
