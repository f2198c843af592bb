//! The tar.gz as a stream: headers are looked at, data passed over or given, and nothing is taken beyond the limits.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use jiff::Timestamp;
use tar::{EntryType, Header, PaxExtensions};

use super::{Contents, Ending, Limits, Member, Visit, path_refusal};
use crate::archive::header::padding;
use crate::archive::{entry_path, escape};

/// The most bytes of a PAX header that are looked at.
const MAX_PAX: u64 = 64 << 10;

/// The same of a tar.gz that comes as a stream.
pub fn read_gzip(input: impl BufRead, limits: Limits, visit: Visit<'_>) -> Contents {
    let mut archive = Archive {
        tape: Tape { input: MultiGzDecoder::new(input), left: limits.bytes, full: false },
        limits,
        contents: Contents::new(),
    };
    let ending = match archive.members(visit) {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    Contents { ending, ..archive.contents }
}

/// The uncompressed stream and what may still be taken from it.
struct Tape<R> {
    input: MultiGzDecoder<R>,
    left: u64,
    /// The limit was met.
    full: bool,
}

impl<R: BufRead> Read for Tape<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 && !into.is_empty() {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.input.read(&mut into[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl<R: BufRead> Tape<R> {
    fn ending(&self, error: &io::Error, limits: Limits) -> Ending {
        if self.full {
            Ending::TooLarge(format!("it has more than {} bytes uncompressed", limits.bytes))
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Ending::Truncated
        } else {
            Ending::Damaged(error.to_string())
        }
    }
}

/// What the headers before a member's own say of it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    /// Why the member cannot be taken for what its own header says.
    refusal: Option<&'static str>,
}

struct Archive<R> {
    tape: Tape<R>,
    limits: Limits,
    contents: Contents,
}

impl<R: BufRead> Archive<R> {
    /// Goes on until the archive ends in one way or another.
    fn members(&mut self, visit: Visit<'_>) -> Result<std::convert::Infallible, Ending> {
        let mut extension = Extension::default();
        for _ in 0..self.limits.entries {
            let header = self.header()?;
            let kind = header.entry_type();
            let size = size_of_data(&header)?;
            match kind {
                EntryType::GNULongName => match self.small(size, self.limits.path as u64 + 1)? {
                    Some(mut name) => {
                        name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                        extension.path = Some(name);
                    }
                    None => extension.refusal = Some("its name is too long"),
                },
                EntryType::XHeader => match self.small(size, MAX_PAX)? {
                    Some(records) => extension.pax(&records),
                    None => extension.refusal = Some("its PAX header is too long"),
                },
                EntryType::GNULongLink | EntryType::XGlobalHeader => self.skip(size)?,
                _ => self.member(&header, size, std::mem::take(&mut extension), visit)?,
            }
        }
        Err(Ending::TooLarge(format!("it has more than {} entries", self.limits.entries)))
    }

    /// The next header; the error is the archive's end.
    fn header(&mut self) -> Result<Header, Ending> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Err(self.after_the_end());
        }
        // Its own field counts as blanks.
        let (before, after) = (&header.as_bytes()[..148], &header.as_bytes()[156..]);
        let sum: u32 =
            before.iter().chain(after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        if header.cksum().ok() == Some(sum) {
            Ok(header)
        } else {
            Err(Ending::Damaged("the checksum of a tar header is wrong".to_owned()))
        }
    }

    /// Tar's end was met. gzip's checksum of the last member stands behind it and behind tar's padding.
    fn after_the_end(&mut self) -> Ending {
        match io::copy(&mut (&mut self.tape).take(1 << 20), &mut io::sink()) {
            Ok(_) => Ending::Whole,
            Err(error) => self.tape.ending(&error, self.limits),
        }
    }

    fn member(
        &mut self,
        header: &Header,
        size: u64,
        extension: Extension,
        visit: Visit<'_>,
    ) -> Result<(), Ending> {
        let kind = header.entry_type();
        let path = extension.path.unwrap_or_else(|| header.path_bytes().into_owned());
        // GNU tar reads no data behind a hard link, whatever its header says.
        let size = if kind == EntryType::Link { 0 } else { extension.size.unwrap_or(size) };
        if kind == EntryType::GNUSparse {
            self.sparse_map(header)?;
        }
        let refusal = extension
            .refusal
            .or_else(|| path_refusal(&path, self.limits))
            .or_else(|| kind_refusal(kind));
        if let Some(reason) = refusal {
            self.contents.refuse(&path, reason);
            return self.skip(size);
        }
        // A folder, also as archives older than its type write it.
        if kind == EntryType::Directory || path.ends_with(b"/") {
            return self.skip(size);
        }
        if size > self.tape.left {
            return Err(Ending::TooLarge(format!("{} alone has {size} bytes", escape(&path))));
        }
        let modified = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let modified = modified.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let member =
            Member { path: entry_path(&path), size, modified: modified.unwrap_or_default() };
        let mut data = Data { tape: &mut self.tape, left: size, failure: None };
        let flow = visit(&member, &mut data);
        let (left, failure) = (data.left, data.failure.take());
        if let Some(error) = failure {
            return Err(self.tape.ending(&error, self.limits));
        }
        if flow.is_break() {
            return Err(Ending::Left);
        }
        self.discard(left + padding(size))
    }

    /// Old GNU sparse files have their map in blocks between header and data.
    fn sparse_map(&mut self, header: &Header) -> Result<(), Ending> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            self.fill(block.as_mut_bytes())?;
            more = block.is_extended();
        }
        Ok(())
    }

    /// The data of an entry of at most `most` bytes; larger ones are passed over.
    fn small(&mut self, size: u64, most: u64) -> Result<Option<Vec<u8>>, Ending> {
        let Some(length) = usize::try_from(size).ok().filter(|_| size <= most) else {
            return self.skip(size).map(|()| None);
        };
        let mut data = vec![0; length];
        self.fill(&mut data)?;
        self.discard(padding(size))?;
        Ok(Some(data))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Ending> {
        self.tape.read_exact(buffer).map_err(|error| self.tape.ending(&error, self.limits))
    }

    fn skip(&mut self, size: u64) -> Result<(), Ending> {
        match size.checked_add(padding(size)) {
            Some(bytes) if bytes <= self.tape.left => self.discard(bytes),
            _ => Err(Ending::TooLarge(format!("an entry alone has {size} bytes"))),
        }
    }

    fn discard(&mut self, bytes: u64) -> Result<(), Ending> {
        match io::copy(&mut (&mut self.tape).take(bytes), &mut io::sink()) {
            Ok(count) if count == bytes => Ok(()),
            Ok(_) => Err(Ending::Truncated),
            Err(error) => Err(self.tape.ending(&error, self.limits)),
        }
    }
}

/// The data of one member.
struct Data<'a, R> {
    tape: &'a mut Tape<R>,
    left: u64,
    failure: Option<io::Error>,
}

impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let error = match self.tape.read(&mut into[..most]) {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(count) => {
                self.left -= count as u64;
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        let told = io::Error::new(error.kind(), error.to_string());
        self.failure = Some(error);
        Err(told)
    }
}

impl Extension {
    fn pax(&mut self, records: &[u8]) {
        for record in PaxExtensions::new(records) {
            // A name with a newline in it comes here as well.
            let Ok(record) = record else {
                self.refusal = Some("its PAX header is not understood");
                return;
            };
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_vec()),
                b"size" => match record.value().ok().and_then(|value| value.parse().ok()) {
                    Some(size) => self.size = Some(size),
                    None => self.refusal = Some("its size is not a number"),
                },
                key if key.starts_with(b"GNU.sparse.") => self.refusal = Some("a sparse file"),
                _ => {}
            }
        }
    }
}

/// The size that a header gives. The tar crate takes the last eight bytes of a binary one, so that what is
/// negative or huge to another reader would be small to it.
fn size_of_data(header: &Header) -> Result<u64, Ending> {
    let field = &header.as_old().size;
    if field[0] & 0x80 != 0 && field[..4] != [0x80, 0, 0, 0] {
        return Err(Ending::Damaged("the size in a tar header is out of range".to_owned()));
    }
    // The error quotes the header.
    header.entry_size().map_err(|error| Ending::Damaged(escape(error.to_string().as_bytes())))
}

fn kind_refusal(kind: EntryType) -> Option<&'static str> {
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Directory => None,
        EntryType::Link => Some("a hard link"),
        EntryType::Symlink => Some("a symbolic link"),
        EntryType::Char | EntryType::Block => Some("a device"),
        EntryType::Fifo => Some("a FIFO"),
        EntryType::GNUSparse => Some("a sparse file"),
        _ => Some("neither a file nor a folder"),
    }
}
