//! `NetworkManager`: is calivet's answer the one that `NetworkManager` itself gives?

mod configurations;
mod differential;
