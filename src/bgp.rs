//! BGP as it looks from a node whose session with a peer is down: which peers are looked at, and what a look gave.
//!
//! The looking itself is [`crate::host`]'s; what it writes and what the judge reads is one document, [`looks`].

pub mod looks;
pub mod message;
