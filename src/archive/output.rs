//! Where an archive is written: a new file that only its owner can read, or a stream such as standard output.
#![allow(clippy::disallowed_methods, reason = "the one output file is created here")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::write_error::WriteError;

/// How many names beside the output are tried for its replacement before giving up.
const NAMES_TRIED: u32 = 100;

/// What an archive is written to.
pub struct Output {
    place: String,
    kind: Kind,
}

enum Kind {
    File {
        file: File,
        path: PathBuf,
        /// The file that `path` takes the place of when it is whole.
        replaces: Option<PathBuf>,
    },
    Stream(Box<dyn Write + Send>),
}

impl Output {
    /// A new file at `path` with mode 0600 whatever the umask, created by no link. It has its final name from
    /// the start, so that it can be read in place when the run dies.
    ///
    /// What stands there already is left alone, unless `force` is given and it is a regular file: then the
    /// archive is written beside it as `PATH.partial` and takes its name when it is whole.
    pub fn create(path: &Path, force: bool) -> Result<Self, WriteError> {
        match create_new(path) {
            Ok(file) => return Ok(Self::file(file, path.to_owned(), None)),
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(WriteError::Create { path: path.to_owned(), source });
            }
            Err(_) => {}
        }
        // A name without a file of its own (`..`, `/`) exists too, and is a folder.
        let regular = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
        let (true, Some(name)) = (regular, path.file_name()) else {
            return Err(WriteError::NotAFile { path: path.to_owned() });
        };
        if !force {
            return Err(WriteError::Exists { path: path.to_owned() });
        }
        for attempt in 1..=NAMES_TRIED {
            let mut name = name.to_owned();
            name.push(".partial");
            if attempt > 1 {
                name.push(format!("-{attempt}"));
            }
            let beside = path.with_file_name(name);
            match create_new(&beside) {
                Ok(file) => return Ok(Self::file(file, beside, Some(path.to_owned()))),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(WriteError::Create { path: beside, source }),
            }
        }
        Err(WriteError::Create {
            path: path.to_owned(),
            source: io::Error::other(format!("{NAMES_TRIED} partial files stand beside it")),
        })
    }

    /// A stream, named `place` in errors.
    pub fn stream(stream: impl Write + Send + 'static, place: impl Into<String>) -> Self {
        Self { place: place.into(), kind: Kind::Stream(Box::new(stream)) }
    }

    fn file(file: File, path: PathBuf, replaces: Option<PathBuf>) -> Self {
        Self { place: path.display().to_string(), kind: Kind::File { file, path, replaces } }
    }

    /// The path that is written to, or the stream's name.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes one document that is no archive, and gives it its final name.
    ///
    /// # Errors
    /// It could not be written whole: then there is no file.
    pub fn document(mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let written = self.write_all(bytes).and_then(|()| self.finish());
        written.map_err(|source| {
            self.discard();
            WriteError::Finish { place: self.place.clone(), source }
        })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::File { file, .. } => file.write_all(bytes),
            Kind::Stream(stream) => stream.write_all(bytes),
        }
    }

    /// Whether what was written can be corrected.
    pub(super) fn can_correct(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    /// Writes over what was written from `offset` on.
    pub(super) fn correct(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &self.kind {
            Kind::File { file, .. } => file.write_all_at(bytes, offset),
            Kind::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }

    /// Forgets what was written after the first `length` bytes. A stream cannot.
    pub(super) fn cut(&mut self, length: u64) -> io::Result<()> {
        match &mut self.kind {
            Kind::File { file, .. } => {
                file.set_len(length)?;
                file.seek(SeekFrom::Start(length)).map(drop)
            }
            Kind::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }

    /// Makes what was written outlast a crash and gives it its final name.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::File { file, path, replaces } => {
                file.sync_all()?;
                if let Some(target) = replaces.take() {
                    fs::rename(&*path, &target)?;
                    self.place = target.display().to_string();
                    *path = target;
                }
                // Its folder may have been removed while it was written.
                if is_at(file, path) {
                    Ok(())
                } else {
                    Err(io::Error::new(
                        io::ErrorKind::NotFound,
                        "it was removed while it was written",
                    ))
                }
            }
            Kind::Stream(stream) => stream.flush(),
        }
    }

    /// Removes the file: for an archive of which nothing could be written.
    pub(super) fn discard(&mut self) {
        let Kind::File { file, path, .. } = &self.kind else { return };
        // Another's file may have taken the name. An empty file is no harm if it cannot be removed.
        if is_at(file, path) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// `O_EXCL` follows no link in the last component; `O_CLOEXEC` is std's habit.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    // An umask may have taken the owner's bits, a default ACL may have added others'.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Output").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_file_is_its_owners_alone_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        for umask in [0, 0o777] {
            let path = folder.path().join(umask.to_string());
            let made = path.clone();
            // A thread of its own view of the umask, which is otherwise the whole process's.
            std::thread::spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
                nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
                Output::create(&made, false).unwrap();
            })
            .join()
            .unwrap();
            assert_eq!(mode(&path), 0o600, "umask {umask:o}");
        }
    }

    #[test]
    fn what_stands_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "mine").unwrap();
        symlink(at("file"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        assert!(matches!(Output::create(&at("file"), false), Err(WriteError::Exists { .. })));
        for name in ["link", "dangling", "folder", "fifo", ".."] {
            for force in [false, true] {
                let refused = Output::create(&at(name), force);
                assert!(matches!(refused, Err(WriteError::NotAFile { .. })), "{name}: {refused:?}");
            }
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"mine");
        assert!(!at("nowhere").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_folder_that_is_missing_is_named_with_its_cause() {
        let error = Output::create(Path::new("/nonexistent/x.tar.gz"), false).unwrap_err();
        assert_eq!(error.to_string(), "failed to create /nonexistent/x.tar.gz");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn force_replaces_a_file_only_when_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar.gz");
        fs::write(&path, "old").unwrap();
        let other = folder.path().join("x.tar.gz.partial");
        fs::write(&other, "another run's").unwrap();

        let mut output = Output::create(&path, true).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(output.place(), path.display().to_string());
        assert_eq!(fs::read(&other).unwrap(), b"another run's");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
