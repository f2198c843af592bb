//! `NetworkManager`: is calivet's answer the one that `NetworkManager` itself gives?

mod check;
mod configurations;
mod differential;
