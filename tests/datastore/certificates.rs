//! Certificates of an authority of the tests' own, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// An authority, and what it has signed.
pub(crate) struct Authority {
    folder: TempDir,
}

/// A certificate and its key.
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// For how long a certificate holds.
#[derive(Clone, Copy)]
pub(crate) enum Holds {
    /// For a year from now on.
    Long,
    /// For ten days.
    Shortly,
    /// Until a month ago.
    NoMore,
}

impl Authority {
    /// A new authority; `None` without openssl or libfaketime.
    pub(crate) fn new() -> Option<Self> {
        let has_openssl = Command::new("openssl").arg("version").output().is_ok();
        if !has_openssl || faketime().is_none() {
            eprintln!("skipped: there is no openssl or libfaketime: tests/run installs them");
            return None;
        }
        let folder = TempDir::with_prefix("calivet-ca-").unwrap();
        let authority = Self { folder };
        authority.openssl(
            "-400d",
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -subj \
             /CN=test-ca -days 3650",
        );
        Some(authority)
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path().join("ca.crt")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for loopback and `localhost`, good for both ends.
    pub(crate) fn sign(&self, name: &str, holds: Holds) -> Pair {
        let extensions =
            "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n";
        std::fs::write(self.path().join("ext"), extensions).unwrap();
        let (begin, days) = match holds {
            Holds::Long => ("-1d", 365),
            Holds::Shortly => ("-1d", 11),
            Holds::NoMore => ("-60d", 30),
        };
        self.openssl(
            begin,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj \
                 /CN={name}"
            ),
        );
        self.openssl(
            begin,
            &format!(
                "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -extfile ext -out \
                 {name}.crt"
            ),
        );
        let at = |ending: &str| self.path().join(format!("{name}.{ending}"));
        Pair { certificate: at("crt"), key: at("key") }
    }

    /// Runs openssl as if it were another time.
    fn openssl(&self, time: &str, arguments: &str) {
        let made = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .env("LD_PRELOAD", faketime().unwrap())
            .env("FAKETIME", time)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

fn faketime() -> Option<String> {
    let architecture = std::env::consts::ARCH;
    let path = format!("/usr/lib/{architecture}-linux-gnu/faketime/libfaketimeMT.so.1");
    Path::new(&path).exists().then_some(path)
}
