//! Reading the file line by line. No value of a device holds a line break, so a line is always one device, and a
//! quote that is not closed spoils no other line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use super::row::{Columns, Row};
use crate::commands::Exit;
use crate::commands::admin::Stop;

/// A device token has at most 64 KiB by any settings.
const MOST_BYTES: usize = 256 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The first line names the columns.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

impl Format {
    /// The one that was said, or else as the file's name has it.
    ///
    /// # Errors
    /// When the name tells nothing.
    pub fn of(said: Option<Self>, file: &Path) -> Result<Self, Stop> {
        if let Some(said) = said {
            return Ok(said);
        }
        let ending =
            file.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("ndjson" | "jsonl") => Ok(Self::Ndjson),
            Some(_) | None => Err(Stop::usage(format!(
                "the name of {} does not tell its format: say --format csv or --format ndjson",
                file.display()
            ))),
        }
    }
}

/// A line with something on it.
#[derive(Debug)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The device, or why it is none.
    pub row: Result<Row, String>,
}

/// The lines of a file.
pub struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    form: Form,
    bytes: u64,
    offset: u64,
    line: u64,
    at_end: bool,
}

enum Form {
    Csv { columns: Columns, delimiter: u8 },
    Ndjson,
}

impl Lines {
    /// Opens the file, and reads the names of its columns.
    ///
    /// # Errors
    /// When it can't be read, or a column is missing.
    pub fn open(path: &Path, format: Format, app_is_said: bool) -> Result<Self, Stop> {
        let unreadable = |cause: io::Error| Stop::unreadable(path, &cause);
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            let message = "is no regular file, so an import could not be resumed";
            return Err(Stop::new(Exit::NoInput, format!("{} {message}", path.display())));
        }
        let mut lines = Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(256 * 1024, file),
            form: Form::Ndjson,
            bytes: metadata.len(),
            offset: 0,
            line: 0,
            at_end: false,
        };
        match format {
            Format::Csv => lines.read_head(app_is_said)?,
            Format::Ndjson => {
                if lines.reader.fill_buf().map_err(unreadable)?.starts_with(BYTE_ORDER_MARK) {
                    lines.reader.consume(BYTE_ORDER_MARK.len());
                    lines.offset = BYTE_ORDER_MARK.len() as u64;
                }
            }
        }
        Ok(lines)
    }

    fn read_head(&mut self, app_is_said: bool) -> Result<(), Stop> {
        let fault = |path: &Path, what: &str| {
            let message = format!(
                "{}: line 1 {what}. It must name the columns: app,user,platform,token",
                path.display()
            );
            Stop::new(Exit::Data, message)
        };
        let Some(Ok(head)) = self.read_line()? else {
            return Err(fault(&self.path, "is missing or far too long"));
        };
        let head = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head);
        let mut first_fault = None;
        for delimiter in *b",;\t" {
            let Ok(names) = fields(head, delimiter) else { continue };
            match Columns::of(&names, app_is_said) {
                Ok(columns) => {
                    self.form = Form::Csv { columns, delimiter };
                    return Ok(());
                }
                Err(why) => first_fault = first_fault.or(Some(why)),
            }
        }
        Err(fault(&self.path, &first_fault.unwrap_or_else(|| "can't be read".to_owned())))
    }

    /// Goes on behind what was read before. Nothing happens at the beginning.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn go_on_from(&mut self, offset: u64, line: u64) -> Result<(), Stop> {
        if offset <= self.offset {
            return Ok(());
        }
        let sought = self.reader.seek(SeekFrom::Start(offset));
        sought.map_err(|cause| Stop::unreadable(&self.path, &cause))?;
        (self.offset, self.line, self.at_end) = (offset, line, false);
        Ok(())
    }

    /// The next line with something on it; `None` at the end.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn next_line(&mut self) -> Result<Option<Line>, Stop> {
        loop {
            let Some(read) = self.read_line()? else {
                self.at_end = true;
                return Ok(None);
            };
            let row = match read {
                Ok(bytes) if bytes.trim_ascii().is_empty() => continue,
                Ok(bytes) => self.row(&bytes),
                Err(why) => Err(why),
            };
            return Ok(Some(Line { number: self.line, row }));
        }
    }

    fn row(&self, bytes: &[u8]) -> Result<Row, String> {
        match &self.form {
            Form::Csv { columns, delimiter } => columns.row(&fields(bytes, *delimiter)?),
            Form::Ndjson => {
                let value: Value = serde_json::from_slice(bytes)
                    .map_err(|cause| format!("is no JSON object (column {})", cause.column()))?;
                Row::of_json(&value)
            }
        }
    }

    /// The next line without its end, or that it is too long.
    fn read_line(&mut self) -> Result<Option<Result<Vec<u8>, String>>, Stop> {
        let mut bytes = Vec::new();
        let most = MOST_BYTES as u64 + 1;
        let read = self.reader.by_ref().take(most).read_until(b'\n', &mut bytes);
        let mut count = read.map_err(|cause| Stop::unreadable(&self.path, &cause))? as u64;
        if count == 0 {
            return Ok(None);
        }
        self.line += 1;
        let is_too_long = bytes.len() > MOST_BYTES && bytes.last() != Some(&b'\n');
        if is_too_long {
            count += self.skip_line()?;
        }
        self.offset += count;
        if is_too_long {
            return Ok(Some(Err(format!("has more than {MOST_BYTES} bytes"))));
        }
        while let Some(b'\n' | b'\r') = bytes.last() {
            bytes.pop();
        }
        Ok(Some(Ok(bytes)))
    }

    /// Skips what is left of a line; how many bytes.
    fn skip_line(&mut self) -> Result<u64, Stop> {
        let mut skipped = 0;
        loop {
            let unreadable = |cause: io::Error| Stop::unreadable(&self.path, &cause);
            let buffer = self.reader.fill_buf().map_err(unreadable)?;
            if buffer.is_empty() {
                return Ok(skipped);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(count);
            skipped += count as u64;
            if end.is_some() {
                return Ok(skipped);
            }
        }
    }

    /// Whether the last line was read.
    pub const fn at_end(&self) -> bool {
        self.at_end
    }

    /// Bytes that were read.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the last line that was read.
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of the file when it was opened.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The fields of a line of CSV (RFC 4180).
fn fields(bytes: &[u8], delimiter: u8) -> Result<Vec<String>, String> {
    let quotes = bytes.iter().filter(|byte| **byte == b'"').count();
    if quotes % 2 == 1 {
        return Err("has a quotation mark that is not closed".to_owned());
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(bytes.len().clamp(64, MOST_BYTES))
        .from_reader(bytes);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(_) => Ok(record.iter().map(str::to_owned).collect()),
        Err(_) => Err("is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests;
