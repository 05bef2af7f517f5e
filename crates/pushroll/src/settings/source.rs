//! Where settings come from: a file, and over it the environment. A value's source is kept, so that a
//! fault can name it.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Fault;
use super::kinds::Reads;
use super::raw::Raw;
use super::table::{SettingInfo, path};

/// What every environment variable of ours begins with.
pub const ENVIRONMENT_PREFIX: &str = "PUSHROLL_";
/// Variables that begin like ours and are no settings: the file's name, and where a server runs.
const NO_SETTINGS: [&str; 2] = ["CONFIG", "URL"];
/// What developers' scripts are told begins with this.
const DEVELOPMENT_PREFIX: &str = "DEV_";
const ENVIRONMENT: &str = "environment";
const FILE: &str = "file";

/// A setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// Its table; empty for the top of the file.
    pub section: String,
    /// Its key.
    pub key: String,
    /// As the settings file would have it; empty if there is none. Of a secret nothing is shown.
    pub written: String,
    /// Where it was given; `None` if it is the default.
    pub source: Option<String>,
}

/// Hands out settings, and collects what is wrong with them.
pub struct Reader {
    values: Figment,
    file: Option<PathBuf>,
    pub(super) faults: Vec<Fault>,
    /// Variables that begin like ours and are none, nor like one.
    pub(super) foreign: Vec<String>,
    pub(super) effective: Vec<Effective>,
}

/// A provider whose name we know again.
struct Named(&'static str, Dict);

impl Provider for Named {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.1.clone())]))
    }
}

/// Where a text is no TOML, and why. Not the line itself, as others would write it: a secret may stand in it.
fn place_of_fault(text: &str) -> String {
    let Some(fault) = toml::from_str::<toml::Table>(text).err() else {
        return "it can't be read".to_owned();
    };
    let before = fault.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else { return fault.message().to_owned() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}: {}", fault.message())
}

impl Reader {
    /// Reads the file's text and the environment's variables. A file that is no TOML is one fault, and
    /// then its settings are the defaults.
    pub fn new(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let mut faults = Vec::new();
        let mut values = Figment::new();
        if let Some((path, text)) = file {
            match Toml::string(text).data() {
                Ok(mut data) => {
                    let dict = data.remove(&Profile::Default).unwrap_or_default();
                    values = values.merge(Named(FILE, dict));
                }
                Err(_) => faults.push(Fault {
                    source: path.display().to_string(),
                    message: format!("is no TOML: {}", place_of_fault(text)),
                }),
            }
        }
        let values = values.merge(Named(ENVIRONMENT, environment_dict(environment)));
        let file = file.map(|(path, _)| path.to_owned());
        Self { values, file, faults, foreign: Vec::new(), effective: Vec::new() }
    }

    /// Reads one setting.
    pub fn read<V>(
        &mut self,
        section: &str,
        key: &str,
        kind: &impl Reads<V>,
        default: impl FnOnce() -> V,
    ) -> V {
        let read = self.read_silently(&path(section, key), kind, default);
        self.effective.push(Effective {
            section: section.to_owned(),
            key: key.to_owned(),
            written: kind.written(&read),
            source: self.source(&path(section, key)),
        });
        read
    }

    fn read_silently<V>(
        &mut self,
        path: &str,
        kind: &impl Reads<V>,
        default: impl FnOnce() -> V,
    ) -> V {
        let Ok(value) = self.values.find_value(path) else { return default() };
        let raw = match (&value, self.is_from_environment(&value)) {
            (Value::String(_, text), true) => Raw::Text(text),
            _ => Raw::Typed(&value),
        };
        match kind.read(raw) {
            Ok(read) => read,
            Err(message) => {
                let source = self.source_of(&value, path);
                self.faults.push(Fault { source, message });
                default()
            }
        }
    }

    /// Where a setting was given; `None` if it was not.
    pub fn source(&self, path: &str) -> Option<String> {
        let value = self.values.find_value(path).ok()?;
        Some(self.source_of(&value, path))
    }

    /// Whether a setting was given this value, as it is written in a file.
    pub fn gives(&self, path: &str, written: &str) -> bool {
        let value = self.values.find_value(path).ok();
        let value = value.and_then(|value| toml::Value::try_from(value).ok());
        value.is_some_and(|value| value.to_string() == written)
    }

    /// Notes a fault of a setting that was given, or of a default that does not go with the others.
    pub fn fault(&mut self, path: &str, message: String) {
        let source = self.source(path).unwrap_or_else(|| path.to_owned());
        self.faults.push(Fault { source, message });
    }

    /// Notes every key that is no setting. A variable whose name is one word and like no setting's may well
    /// be somebody else's (`PUSHROLL_BIN`, say): it is no fault.
    pub fn refuse_unknown(&mut self, known: &[SettingInfo]) {
        let Ok(data) = self.values.data() else { return };
        let Some(dict) = data.get(&Profile::Default) else { return };
        let sections: Vec<&str> = known.iter().map(|info| info.section).collect();
        let mut unknown = Vec::new();
        for (key, value) in dict {
            if known.iter().any(|info| info.section.is_empty() && info.key == key) {
                continue;
            }
            match value {
                Value::Dict(_, entries) if sections.contains(&key.as_str()) => {
                    let is_known = |inner: &str| {
                        known.iter().any(|info| info.section == key && info.key == inner)
                    };
                    let strange = entries.iter().filter(|(inner, _)| !is_known(inner));
                    unknown.extend(strange.map(|(inner, value)| (path(key, inner), value)));
                }
                Value::Dict(_, entries) if !entries.is_empty() => {
                    unknown.extend(entries.iter().map(|(inner, value)| (path(key, inner), value)));
                }
                _ if sections.contains(&key.as_str()) => {
                    self.faults.push(Fault {
                        source: self.source_of(value, key),
                        message: format!("must be a table: [{key}]"),
                    });
                }
                _ => unknown.push((key.clone(), value)),
            }
        }
        let mut foreign = Vec::new();
        for (path, value) in unknown {
            if !path.contains('.') && self.is_from_environment(value) && !is_like(&path, known) {
                foreign.push(environment_variable(&path));
                continue;
            }
            let source = self.source_of(value, &path);
            let meant = nearest(&path, known).map(|meant| self.spelled_like(value, &meant));
            let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
            self.faults.push(Fault { source, message: format!("there is no such setting{meant}") });
        }
        self.foreign = foreign;
    }

    fn is_from_environment(&self, value: &Value) -> bool {
        let metadata = self.values.get_metadata(value.tag());
        metadata.is_some_and(|metadata| metadata.name == ENVIRONMENT)
    }

    fn source_of(&self, value: &Value, path: &str) -> String {
        match &self.file {
            Some(file) if !self.is_from_environment(value) => format!("{}: {path}", file.display()),
            _ => environment_variable(path),
        }
    }

    /// A key the way that this value's was given.
    fn spelled_like(&self, value: &Value, path: &str) -> String {
        if self.is_from_environment(value) { environment_variable(path) } else { path.to_owned() }
    }
}

/// The environment variable of a setting.
#[must_use]
pub fn environment_variable(path: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

fn environment_dict(variables: impl Iterator<Item = (String, String)>) -> Dict {
    let mut dict = Dict::new();
    for (name, text) in variables {
        let Some(name) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        if NO_SETTINGS.contains(&name)
            || name.starts_with(DEVELOPMENT_PREFIX)
            || is_kubernetes_link(name)
        {
            continue;
        }
        let name = name.to_ascii_lowercase();
        match name.split_once("__") {
            None => {
                dict.entry(name).or_insert_with(|| Value::from(text));
            }
            Some((section, key)) => {
                let key = key.replace("__", ".");
                let table = dict.entry(section.to_owned()).or_insert_with(|| Dict::new().into());
                match table {
                    Value::Dict(_, entries) => {
                        entries.insert(key, Value::from(text));
                    }
                    other => *other = Value::from(Dict::from([(key, Value::from(text))])),
                }
            }
        }
    }
    dict
}

/// Kubernetes tells every container of a namespace where a service is; of one that is called
/// `pushroll`, in variables that begin like ours.
fn is_kubernetes_link(name: &str) -> bool {
    name == "SERVICE_HOST"
        || name == "PORT"
        || name.starts_with("SERVICE_PORT")
        || name
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// From this likeness on a setting was probably meant.
const LIKE: f64 = 0.6;

/// Whether it is written like a setting, whatever stands between the words.
fn is_like(unknown: &str, known: &[SettingInfo]) -> bool {
    let likeness =
        |info: &SettingInfo| strsim::normalized_damerau_levenshtein(unknown, &info.path());
    known.iter().any(|info| likeness(info) >= LIKE)
}

/// The setting that was probably meant.
fn nearest(unknown: &str, known: &[SettingInfo]) -> Option<String> {
    let unknown = unknown.to_ascii_lowercase();
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |path: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&unknown, path);
        // The right key in the wrong table.
        let key = strsim::normalized_damerau_levenshtein(&leaf(&unknown), &leaf(path)) * 0.95;
        whole.max(key)
    };
    known
        .iter()
        .map(|info| (likeness(&info.path()), info.path()))
        .filter(|(likeness, _)| *likeness >= LIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}
