//! A server that is asked, and a screen or program that is told.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use console::Term;
use serde_json::Value;

use super::stop::Stop;
use super::table::Table;
use crate::client::{Client, ClientFault, percent};
use crate::commands::Exit;

/// Items of a list that are asked for at once; the most that the server gives.
const PART: usize = 1_000;

/// A server that is asked, and a screen or program that is told.
pub struct Session {
    /// The server.
    pub client: Client,
    json: bool,
}

impl Session {
    pub(super) const fn new(client: Client, json: bool) -> Self {
        Self { client, json }
    }

    /// Whether a program reads what is written.
    pub const fn json(&self) -> bool {
        self.json
    }

    /// All items of a list of the administration; `path` is what follows `/admin/v1`.
    pub async fn all(&mut self, path: &str) -> Result<Vec<Value>, Stop> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let part = self.part(path, after.as_deref(), PART).await?;
            all.extend(part.0);
            after = part.1;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// The first items of a list, so many at most.
    pub async fn first(&mut self, path: &str, most: usize) -> Result<Vec<Value>, Stop> {
        let mut first = Vec::new();
        let mut after = None;
        while first.len() < most {
            let part = self.part(path, after.as_deref(), PART.min(most - first.len())).await?;
            first.extend(part.0);
            after = part.1;
            if after.is_none() {
                break;
            }
        }
        Ok(first)
    }

    /// A part of a list, and how to ask for the next.
    pub async fn part(
        &mut self,
        path: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<String>), Stop> {
        let mut list = self.try_part(path, after, limit).await?;
        let Value::Array(items) = list["items"].take() else {
            return Err(Stop::new(Exit::Unavailable, "the server answered with no list"));
        };
        Ok((items, list["next"].as_str().map(str::to_owned)))
    }

    /// A part of a list as the server gives it, or why it does not.
    pub async fn try_part(
        &mut self,
        path: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Value, ClientFault> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut target = format!("/admin/v1{path}{separator}limit={limit}");
        if let Some(after) = after {
            target += &format!("&after={}", percent(after));
        }
        self.client.get(&target).await
    }

    /// Writes for programs, or for people.
    pub fn tell(&self, value: &Value, for_people: impl FnOnce() -> String) -> Result<(), Stop> {
        if self.json { self.write(&format!("{value:#}")) } else { self.write(&for_people()) }
    }

    /// Writes a list.
    pub fn tell_list(
        &self,
        items: &[Value],
        nothing: &str,
        table: impl FnOnce(&[Value]) -> Table,
    ) -> Result<(), Stop> {
        if self.json {
            return self.write(&format!("{:#}", Value::Array(items.to_vec())));
        }
        if items.is_empty() {
            // Not among what a program may read.
            eprintln!("{nothing}");
            return Ok(());
        }
        self.write(&table(items).to_string())
    }

    /// Writes a line, or several.
    pub fn write(&self, text: &str) -> Result<(), Stop> {
        write(text)
    }

    /// Asks whoever sits there whether it is meant.
    pub fn confirm(&self, yes: bool, question: &str) -> Result<(), Stop> {
        if yes {
            return Ok(());
        }
        let terminal = Term::stderr();
        if !io::stdin().is_terminal() || !terminal.is_term() {
            return Err(Stop::usage(format!("{question} Say so with --yes.")));
        }
        let asked = terminal.write_str(&format!("{question} [y/N] "));
        let answer = asked.and_then(|()| terminal.read_line());
        let answer = answer.map_err(|cause| Stop::usage(format!("no answer: {cause}")))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Stop::new(Exit::Failed, "nothing was done")),
        }
    }
}

/// Writes a line, or several, to standard output.
pub(crate) fn write(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    written.map_err(|cause| Stop::unwritable(&"the output", &cause))
}

/// A property as people read it: `-` if there is nothing.
pub(crate) fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    };
    // A terminal obeys what it is shown.
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.is_empty() { "-".to_owned() } else { shown }
}

/// Properties one below the other.
pub(super) fn properties(rows: &[(&str, &dyn Display)]) -> String {
    let width = rows.iter().map(|(name, _)| console::measure_text_width(name)).max().unwrap_or(0);
    let line = |(name, value): &(&str, &dyn Display)| {
        format!("{}  {value}", console::pad_str(name, width, console::Alignment::Left, None))
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_can_t_steer_a_terminal() {
        assert_eq!(text(&json!("a\u{1b}[2Jb\nc")), "a [2Jb c");
        assert_eq!(text(&json!(null)), "-");
        assert_eq!(text(&json!("")), "-");
        assert_eq!(text(&json!(true)), "yes");
        assert_eq!(text(&json!(7)), "7");
    }

    #[test]
    fn properties_stand_one_below_the_other() {
        assert_eq!(properties(&[("id", &1), ("größe", &2)]), "id     1\ngröße  2");
    }
}
