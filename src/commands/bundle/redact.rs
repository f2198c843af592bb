//! `calivet bundle redact`: an old bundle, written anew by the rules of redaction of today.
//!
//! The old one is read twice: first what may hold secrets (all but logs) is learned from, so that a secret that stands
//! in a configuration by its name is found by its value in a log; then each file goes through the rules into the new
//! bundle as it comes. With `--obfuscate` it is read once more before that, for the names in it.

mod account;
mod names;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::Exit;
use crate::archive;
use crate::archive::entry::Entry;
use crate::archive::reader::{Contents, Ending, Member};
use crate::archive::writer::{self, Writer};
use crate::bundle::manifest::{self, Again, Tool};
use crate::bundle::redacted::Redacted;
use crate::cli;
use crate::collectors::{self, COLLECTORS, Node};
use crate::commands::pseudonyms::{Pseudonyms, Secret};
use crate::host::Sensitivity;
use crate::host::bundle::{self, BundleError};
use crate::output::{self, Output};
use crate::redact::{Redactor, Secrets, Stream};

/// Logs say what configurations hold, and there is too much of them to learn from.
const LOGS: &str = "logs/";
/// The most of one file that is learned from.
const LEARNED: u64 = 4 << 20;
/// The most bytes of a manifest.
const MANIFEST: u64 = 16 << 20;
/// Bytes of a file that are read at once.
const CHUNK: usize = 256 << 10;
/// The most files, and the most bytes of their paths: no bundle has as many.
const FILES: usize = 100_000;
const PATHS: usize = 16 << 20;
/// The most compressed bytes of one file that wait in memory.
const HELD: u64 = 8 << 20;

/// What comes of the old bundle.
enum Piece {
    Begin(Member),
    Data(Vec<u8>),
    End,
    /// A manifest as a whole.
    Manifest(Vec<u8>),
}

/// What became of a file.
struct Redone {
    path: String,
    bytes: u64,
    /// The SHA-256 of what the old bundle had.
    was: String,
    sha256: String,
    redactions: BTreeMap<String, u64>,
}

/// Writes the new bundle.
pub(super) async fn run(args: &cli::BundleRedact, output: Output) -> anyhow::Result<Exit> {
    let old = args.old.clone();
    let secrets = spawn_blocking(move || learn(&old)).await.context("failed to learn")??;
    let again = Again {
        time: Timestamp::now(),
        tool: Tool::this(),
        values: u64::try_from(secrets.len()).unwrap_or(u64::MAX),
    };
    let pseudonyms = if args.obfuscate {
        let names = names::learn(args.old.clone()).await?;
        let key = args.obfuscation_key.as_deref();
        Some(Secret::begin(&args.new, key, args.force)?.pseudonyms(&names))
    } else {
        None
    };
    let redactor = match &pseudonyms {
        Some(pseudonyms) => pseudonyms.redactor(secrets),
        None => Redactor::new(&secrets),
    };
    let file = archive::Output::create(&args.new, args.force)?;
    let mut writer = Writer::new(file, 1, writer::DEFAULT_LEVEL);
    let (sender, mut pieces) = mpsc::channel(4);
    let old = args.old.clone();
    let reading = spawn_blocking(move || send(&old, &sender));
    let written = write(&mut writer, &redactor, pseudonyms.as_ref(), &mut pieces, &again).await;
    // Whoever still sends is told that nobody listens.
    drop(pieces);
    let contents = reading.await.context("failed to read the bundle")??;
    let redone = written?;
    let bytes = writer.finish().await?;
    if let Some(pseudonyms) = pseudonyms {
        output.note(&pseudonyms.write_map()?);
    }

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (rule, count) in redone.values().flat_map(|redone| &redone.redactions) {
        *counts.entry(rule.clone()).or_default() += count;
    }
    let is_whole = contents.ending == Ending::Whole && contents.refused_total == 0;
    if !is_whole {
        output.note("note: the old bundle is not whole, or not all of it is what a bundle holds: the new one has what could be read");
    }
    let report = Redacted {
        schema_version: 1,
        bundle: args.new.display().to_string(),
        files: redone.len(),
        bytes,
        learned: again.values,
        redactions: counts,
        whole: is_whole,
    };
    output.print(&if output.format.is_document() {
        output::document(&report, output.format)?
    } else {
        output::bundle::redacted(&report, output)
    })?;
    Ok(if is_whole { Exit::Well } else { Exit::Wrong })
}

/// The secrets that the rules find in what is no log.
fn learn(old: &std::path::Path) -> Result<Secrets, BundleError> {
    let mut secrets = Secrets::new();
    bundle::walk(old, &mut |member, data| {
        if !member.path.starts_with(LOGS) && member.path != manifest::PATH {
            let mut text = Vec::new();
            // What can be read of a file that is cut is learned from too.
            let _ = data.take(LEARNED).read_to_end(&mut text);
            secrets.learn(&text);
        }
        ControlFlow::Continue(())
    })?;
    Ok(secrets)
}

/// Sends the old bundle as it is read.
fn send(old: &std::path::Path, pieces: &mpsc::Sender<Piece>) -> Result<Contents, BundleError> {
    bundle::walk(old, &mut |member, data| match send_file(member, data, pieces) {
        Some(()) => ControlFlow::Continue(()),
        None => ControlFlow::Break(()),
    })
}

/// `None`: nobody listens.
fn send_file(member: &Member, data: &mut dyn Read, pieces: &mpsc::Sender<Piece>) -> Option<()> {
    let send = |piece| pieces.blocking_send(piece).ok();
    if member.path == manifest::PATH {
        let mut json = Vec::new();
        // One that is cut is not one.
        return match data.take(MANIFEST).read_to_end(&mut json) {
            Ok(_) => send(Piece::Manifest(json)),
            Err(_) => Some(()),
        };
    }
    send(Piece::Begin(member.clone()))?;
    loop {
        let mut chunk = Vec::new();
        let read = data.take(CHUNK as u64).read_to_end(&mut chunk);
        let is_end = read.is_err() || chunk.is_empty();
        if !chunk.is_empty() {
            send(Piece::Data(chunk))?;
        }
        if is_end {
            return send(Piece::End);
        }
    }
}

/// Redacts and writes what comes; what became of each file, by its old path.
async fn write(
    writer: &mut Writer,
    redactor: &Redactor,
    pseudonyms: Option<&Pseudonyms>,
    pieces: &mut mpsc::Receiver<Piece>,
    again: &Again,
) -> anyhow::Result<BTreeMap<String, Redone>> {
    let public = public();
    let mut paths = 0;
    let mut redone = BTreeMap::new();
    let mut manifest: Option<Value> = None;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Manifest(json) => {
                let Some(mut read) = account::parse(&json) else { continue };
                account::conceal(&mut read, redactor);
                if let Some(pseudonyms) = pseudonyms {
                    pseudonyms.note(&mut read["options"]);
                }
                if manifest.is_none() {
                    // A bundle opens with what is known, so that one that is cut explains itself.
                    writer.add(manifest::PATH, account::opening(&read)?, again.time).await?;
                }
                manifest = Some(read);
            }
            // Of two files of one name, which would be true? The summary is there twice on purpose.
            Piece::Begin(member)
                if redone.contains_key(&member.path) && member.path != "summary.txt" => {}
            Piece::Begin(member) => {
                anyhow::ensure!(redone.len() < FILES, "the bundle has more than {FILES} files");
                paths += member.path.len();
                anyhow::ensure!(paths <= PATHS, "the bundle has too many long paths");
                let is_public = public.iter().any(|path| lies_beneath(&member.path, path));
                let stream =
                    if is_public { redactor.stream_values_only() } else { redactor.stream() };
                let done = file(writer, redactor, stream.of(&member.path), &member, pieces).await?;
                redone.insert(member.path, done);
            }
            Piece::Data(_) | Piece::End => {}
        }
    }
    if let Some(mut manifest) = manifest {
        account::close(&mut manifest, &redone, again, redactor);
        let mut json = serde_json::to_vec_pretty(&manifest)?;
        json.push(b'\n');
        writer.add(manifest::PATH, json, again.time).await?;
    }
    Ok(redone)
}

/// Writes one file, of which pieces are coming.
async fn file(
    writer: &mut Writer,
    redactor: &Redactor,
    mut stream: Stream,
    member: &Member,
    pieces: &mut mpsc::Receiver<Piece>,
) -> anyhow::Result<Redone> {
    let mut entry = Entry::begin(&writer.compressor(), redactor.redact_name(&member.path));
    let path = entry.path().to_owned();
    let (mut was, mut digest) = (Sha256::new(), Sha256::new());
    let mut is_begun = false;
    let redactions = loop {
        let (redacted, redactions) = if let Some(Piece::Data(chunk)) = pieces.recv().await {
            was.update(&chunk);
            (stream.push(chunk), None)
        } else {
            let (rest, redactions) = std::mem::replace(&mut stream, redactor.stream()).finish();
            (rest, Some(redactions))
        };
        digest.update(&redacted);
        entry.push(redacted).await;
        // One that does not shrink must not fill the memory.
        if entry.held() > HELD && writer.can_begin() {
            if !is_begun {
                writer.begin(&path).await?;
                is_begun = true;
            }
            writer.extend(&path, entry.take()).await?;
        }
        if let Some(redactions) = redactions {
            break redactions;
        }
    };
    let bytes = entry.bytes();
    let entry = entry.finish(member.modified).await;
    if is_begun {
        writer.end(entry.packed().await).await?;
    } else {
        writer.append(entry).await?;
    }
    let [was, sha256] = [was, digest].map(|digest| format!("{:x}", digest.finalize()));
    Ok(Redone { path, bytes, was, sha256, redactions })
}

/// The paths, of files and of folders, at which no user could put a secret: only known values are searched for there, for
/// the rules would find forms in numbers.
fn public() -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for collector in COLLECTORS {
        let rows = collectors::rows(collector, &Node::default());
        let artifacts = rows.artifacts.iter().map(|row| (row.sensitivity, row.path()));
        let trees = rows.trees.iter().map(|tree| (tree.sensitivity, tree.path()));
        let public = artifacts.chain(trees).filter(|(kind, _)| *kind == Sensitivity::Public);
        paths.extend(public.map(|(_, path)| PathBuf::from(path.as_ref())));
    }
    paths
}

fn lies_beneath(path: &str, folder: &std::path::Path) -> bool {
    std::path::Path::new(path).starts_with(folder)
}
