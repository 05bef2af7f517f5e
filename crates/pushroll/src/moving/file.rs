//! Writing and reading the file of an export, line by line.

use std::io::{self, BufRead, Write};

use aws_lc_rs::digest::{Context, SHA256};
use pushroll_domain::{Record, RecordKind};
use thiserror::Error;

use super::content::{Content, hex};
use super::lines::{self, Checkpoint, Header, Parsed, Trailer};

/// The version of the format.
pub(super) const FORMAT: u32 = 1;
/// The most records between two checkpoints, and a little.
const CHECKPOINT_EVERY: u64 = 10_000;
/// The longest line, in bytes. None is nearly as long: credentials and headers are limited.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileFault {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(io::Error),
    /// It is something else.
    #[error("it does not begin as an export of pushroll does: is it another file, or packed?")]
    NoExport,
    /// It was made by a newer version.
    #[error(
        "it has format {found}, and this version of pushroll knows formats up to {FORMAT}: use the version that made it, \
         or a newer one"
    )]
    Newer {
        /// Its format.
        found: u64,
    },
    /// A line can't be what was written.
    #[error("line {line}: {what}. Export again, or copy the file again")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The end is missing.
    #[error(
        "it is cut off after line {lines}: the last line, with counts and digests, is missing. Copy it again, or finish the \
         export (pushroll export --resume)"
    )]
    CutOff {
        /// The lines that are there.
        lines: u64,
    },
}

fn line_fault(line: u64, what: impl Into<String>) -> FileFault {
    FileFault::Line { line, what: what.into() }
}

/// What is known of the lines so far.
#[derive(Clone)]
pub(super) struct Sofar {
    hash: Context,
    pub(super) content: Content,
    pub(super) records: u64,
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Sofar {
    fn new() -> Self {
        let content = Content::default();
        Self { hash: Context::new(&SHA256), content, records: 0, lines: 0, bytes: 0 }
    }

    /// A line, with its end.
    fn line(&mut self, line: &[u8]) {
        self.hash.update(line);
        self.lines += 1;
        self.bytes += line.len() as u64;
    }

    /// SHA-256 of all lines.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.hash.clone().finish().as_ref());
        digest
    }

    fn sha256(&self) -> String {
        hex(&self.digest())
    }
}

/// Writes a file.
pub(super) struct Writer<W: Write> {
    out: W,
    sofar: Sofar,
    checked_at: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { out, sofar: Sofar::new(), checked_at: 0 };
        writer.line(lines::header(header))?;
        Ok(writer)
    }

    /// Goes on after what is there.
    pub(super) fn resume(out: W, sofar: Sofar) -> Self {
        let checked_at = sofar.records;
        Self { out, sofar, checked_at }
    }

    pub(super) fn record(&mut self, record: &Record) -> io::Result<()> {
        let line = lines::record(record);
        self.sofar.content.add(record.kind(), &line);
        self.sofar.records += 1;
        self.line(line)
    }

    pub(super) fn records(&self) -> u64 {
        self.sofar.records
    }

    /// Writes a checkpoint if it is time, with where the store goes on.
    pub(super) fn may_check(&mut self, kind: RecordKind, place: Option<&str>) -> io::Result<()> {
        if self.sofar.records - self.checked_at < CHECKPOINT_EVERY {
            return Ok(());
        }
        self.checked_at = self.sofar.records;
        self.line(lines::checkpoint(&Checkpoint {
            records: self.sofar.records,
            sha256: self.sofar.sha256(),
            kind: kind.name().to_owned(),
            place: place.map(str::to_owned),
        }))?;
        // What was written up to here need not be written again.
        self.out.flush()
    }

    /// Writes the last line.
    pub(super) fn end(mut self) -> io::Result<(W, Content)> {
        let trailer = Trailer {
            records: self.sofar.records,
            kinds: self.sofar.content.kinds(),
            content: self.sofar.content.digest(),
            sha256: self.sofar.sha256(),
        };
        self.line(lines::trailer(&trailer))?;
        self.out.flush()?;
        Ok((self.out, self.sofar.content))
    }

    fn line(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        self.sofar.line(&line);
        self.out.write_all(&line)
    }
}

/// What comes next in a file.
pub(super) enum Next {
    Record(Box<Record>),
    /// All before it is as it was written.
    Checkpoint(Checkpoint),
    /// It is whole.
    End,
}

/// Reads a file and checks all that can be checked.
pub(super) struct Reader<R: BufRead> {
    input: R,
    header: Header,
    sofar: Sofar,
    line: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    pub(super) fn begin(mut input: R) -> Result<Self, FileFault> {
        let mut line = Vec::new();
        let mut sofar = Sofar::new();
        read_line(&mut input, &mut line, &sofar)?;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        match lines::format_of(text) {
            None => return Err(FileFault::NoExport),
            Some(found) if found > u64::from(FORMAT) => return Err(FileFault::Newer { found }),
            Some(_) => {}
        }
        let header = match lines::parse(text).map_err(|what| line_fault(1, what))? {
            Parsed::Header(header) => header,
            Parsed::Checkpoint(_) | Parsed::Trailer(_) | Parsed::Record(_) => {
                return Err(FileFault::NoExport);
            }
        };
        sofar.line(&line);
        Ok(Self { input, header, sofar, line })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// What has been read.
    pub(super) fn sofar(&self) -> &Sofar {
        &self.sofar
    }

    /// The next record or checkpoint, or the end.
    pub(super) fn next(&mut self) -> Result<Next, FileFault> {
        read_line(&mut self.input, &mut self.line, &self.sofar)?;
        let number = self.sofar.lines + 1;
        let Some(text) = self.line.strip_suffix(b"\n") else {
            return Err(FileFault::CutOff { lines: self.sofar.lines });
        };
        let parsed = lines::parse(text).map_err(|what| line_fault(number, what))?;
        match parsed {
            Parsed::Record(record) => {
                self.sofar.content.add(record.kind(), text);
                self.sofar.records += 1;
                self.sofar.line(&self.line);
                Ok(Next::Record(record))
            }
            Parsed::Checkpoint(checkpoint) => {
                self.check(checkpoint.records, &checkpoint.sha256)?;
                self.sofar.line(&self.line);
                Ok(Next::Checkpoint(checkpoint))
            }
            Parsed::Trailer(trailer) => {
                self.check(trailer.records, &trailer.sha256)?;
                let content = &self.sofar.content;
                if trailer.kinds != content.kinds() || trailer.content != content.digest() {
                    let what = "its counts and digests are not those of the lines before it";
                    return Err(line_fault(number, what));
                }
                self.line.clear();
                match self.input.fill_buf() {
                    Ok([]) => Ok(Next::End),
                    Ok(_) => Err(line_fault(number + 1, "there is something behind the last line")),
                    Err(cause) => Err(FileFault::Read(cause)),
                }
            }
            Parsed::Header(_) => Err(line_fault(number, "there is a second header")),
        }
    }

    fn check(&self, records: u64, sha256: &str) -> Result<(), FileFault> {
        let number = self.sofar.lines + 1;
        if records != self.sofar.records {
            let what = format!(
                "it says {records} records before it, and there are {}",
                self.sofar.records
            );
            return Err(line_fault(number, what));
        }
        if sha256 != self.sofar.sha256() {
            let what = "something before it (since the checkpoint before) is not as it was written";
            return Err(line_fault(number, what));
        }
        Ok(())
    }
}

/// Reads a line with its end. At the end of the file there is none.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, sofar: &Sofar) -> Result<(), FileFault> {
    line.clear();
    let mut limited = io::Read::take(&mut *input, LONGEST_LINE);
    let bytes = limited.read_until(b'\n', line).map_err(FileFault::Read)?;
    if bytes as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
        return Err(line_fault(sofar.lines + 1, "it is longer than any line of an export"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
