//! BIRD's control protocol and what its daemon answers, in the dialects of BIRD 1.6 (Calico's fork included), 2
//! and 3.
//!
//! [`reply`] turns the bytes of one answer into lines; [`status`], [`protocols`] and [`routes`] turn lines into
//! facts; [`configuration`] reads the file that BIRD reads. None of them knows a socket.

pub mod configuration;
pub mod protocols;
pub mod reply;
pub mod routes;
pub mod status;
