//! Writes calivet's man pages, one a command, into a folder:
//!
//!     cargo run --example man -- FOLDER

use anyhow::Context;
use calivet::manual;

#[allow(
    clippy::disallowed_methods,
    reason = "it runs where calivet is built, and writes what is packed"
)]
fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: man FOLDER")?;
    std::fs::create_dir_all(&folder).context("failed to make the folder")?;
    for (name, page) in manual::all()? {
        let path = std::path::Path::new(&folder).join(name);
        std::fs::write(&path, page)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}
