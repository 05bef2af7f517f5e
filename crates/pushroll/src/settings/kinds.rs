//! The kinds of settings: what is expected, how it is read, and how it is written.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use ipnet::IpNet;
use pushroll_domain::Secret;
use pushroll_providers::Proxy;
use url::Url;

use super::raw::Raw;

/// A kind of settings.
pub trait Kind {
    /// What is expected, to follow "must be".
    fn expects(&self) -> String;

    /// The message for a value that is none.
    fn not(&self, raw: Raw<'_>) -> String {
        format!("must be {}, not {}", self.expects(), raw.shown())
    }
}

/// A kind of settings that are read into a `V`.
pub trait Reads<V>: Kind {
    /// Reads it.
    ///
    /// # Errors
    /// What was expected, and what was given.
    fn read(&self, raw: Raw<'_>) -> Result<V, String>;

    /// The value as it is written in a settings file.
    fn written(&self, value: &V) -> String;
}

/// `true` or `false`.
pub struct Flag;

impl Kind for Flag {
    fn expects(&self) -> String {
        "true or false".to_owned()
    }
}

impl Reads<bool> for Flag {
    fn read(&self, raw: Raw<'_>) -> Result<bool, String> {
        match raw {
            Raw::Typed(Value::Bool(_, flag)) => Some(*flag),
            Raw::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
            Raw::Typed(_) => None,
        }
        .ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number in a range.
pub struct Whole {
    least: u64,
    most: u64,
}

/// A whole number from `least` to `most`.
pub const fn whole(least: u64, most: u64) -> Whole {
    Whole { least, most }
}

/// The type of a whole number.
pub trait Number: Display + Sized {
    /// The number in this type, if it has it.
    fn of(number: u64) -> Option<Self>;
}

macro_rules! number {
    ($($type:ty),+) => {
        $(impl Number for $type {
            fn of(number: u64) -> Option<Self> {
                Self::try_from(number).ok()
            }
        })+
    };
}

number!(u16, u32, u64, usize);

impl Number for NonZeroU32 {
    fn of(number: u64) -> Option<Self> {
        u32::try_from(number).ok().and_then(Self::new)
    }
}

impl Kind for Whole {
    fn expects(&self) -> String {
        format!("a whole number from {} to {}", self.least, self.most)
    }
}

impl<T: Number> Reads<T> for Whole {
    fn read(&self, raw: Raw<'_>) -> Result<T, String> {
        raw.whole()
            .filter(|number| (self.least..=self.most).contains(number))
            .and_then(T::of)
            .ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &T) -> String {
        value.to_string()
    }
}

/// A span of time in a unit, which the key names.
pub struct Span {
    unit: &'static str,
    unit_seconds: f64,
    least: f64,
    most: f64,
}

/// Seconds, also decimal ones.
pub const fn seconds(least: f64, most: f64) -> Span {
    Span { unit: "seconds", unit_seconds: 1.0, least, most }
}

/// Days, also decimal ones.
pub const fn days(least: f64, most: f64) -> Span {
    Span { unit: "days", unit_seconds: 86_400.0, least, most }
}

impl Kind for Span {
    fn expects(&self) -> String {
        format!("a number of {} from {} to {}", self.unit, self.least, self.most)
    }
}

impl Reads<Duration> for Span {
    fn read(&self, raw: Raw<'_>) -> Result<Duration, String> {
        raw.number()
            .filter(|number| (self.least..=self.most).contains(number))
            .map(|number| Duration::from_secs_f64(number * self.unit_seconds))
            .ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &Duration) -> String {
        (value.as_secs_f64() / self.unit_seconds).to_string()
    }
}

/// A part of a whole, from 0 to 1.
pub struct Ratio;

impl Kind for Ratio {
    fn expects(&self) -> String {
        "a number from 0 to 1".to_owned()
    }
}

impl Reads<f64> for Ratio {
    fn read(&self, raw: Raw<'_>) -> Result<f64, String> {
        let number = raw.number().filter(|number| (0.0..=1.0).contains(number));
        number.ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &f64) -> String {
        value.to_string()
    }
}

/// A string that parses.
pub struct Parsed<T> {
    expects: &'static str,
    parse: fn(&str) -> Option<T>,
    show: fn(&T) -> String,
}

impl<T> Kind for Parsed<T> {
    fn expects(&self) -> String {
        self.expects.to_owned()
    }
}

impl<T> Reads<T> for Parsed<T> {
    fn read(&self, raw: Raw<'_>) -> Result<T, String> {
        raw.text().and_then(self.parse).ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &T) -> String {
        toml_string(&(self.show)(value))
    }
}

/// The address of a listener or server.
pub const ADDRESS: Parsed<SocketAddr> = Parsed {
    expects: "an address with a port, like \"127.0.0.1:8080\" or \"[::]:8080\"",
    parse: |text| text.trim().parse().ok(),
    show: ToString::to_string,
};

/// A path.
pub const PATH: Parsed<PathBuf> = Parsed {
    expects: "a path",
    parse: |text| (!text.is_empty()).then(|| PathBuf::from(text)),
    show: |path| path.display().to_string(),
};

/// A text.
pub const TEXT: Parsed<String> = Parsed {
    expects: "a text",
    parse: |text| (!text.is_empty()).then(|| text.to_owned()),
    show: Clone::clone,
};

/// The base URL of a provider.
pub const BASE_URL: Parsed<Url> = Parsed {
    expects: "a URL of the form \"https://host\" or \"https://host:port\"",
    parse: |text| {
        let url = Url::parse(text.trim()).ok()?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        let plain = url.username().is_empty() && url.password().is_none();
        (url.scheme() == "https" && url.has_host() && bare && plain && url.fragment().is_none())
            .then_some(url)
    },
    show: |url| url.as_str().trim_end_matches('/').to_owned(),
};

/// The base URL at which others reach this server.
pub const PUBLIC_URL: Parsed<Url> = Parsed {
    expects: "a URL like \"https://push.example.com\", without a query",
    parse: |text| {
        let url = Url::parse(text.trim()).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.query().is_none() && url.fragment().is_none();
        // It is told in commands to paste.
        let harmless = !url.as_str().contains(['\'', '$', '`', '"', '\\']);
        let web = matches!(url.scheme(), "https" | "http") && url.has_host();
        (web && plain && bare && harmless).then_some(url)
    },
    show: |url| url.as_str().trim_end_matches('/').to_owned(),
};

/// Where a collector takes traces.
pub const COLLECTOR: Parsed<Url> = Parsed {
    expects: "a URL like \"http://127.0.0.1:4318\", without a query",
    parse: |text| {
        let url = Url::parse(text.trim()).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let bare = url.query().is_none() && url.fragment().is_none();
        let web = matches!(url.scheme(), "https" | "http") && url.has_host();
        (web && plain && bare).then_some(url)
    },
    show: |url| url.as_str().trim_end_matches('/').to_owned(),
};

/// A range of addresses; an address alone is a range of one.
pub const RANGE: Parsed<IpNet> = Parsed {
    expects: "an address or a range of addresses, like \"10.1.2.3\" or \"10.0.0.0/8\"",
    parse: |text| {
        let text = text.trim();
        text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))
    },
    show: ToString::to_string,
};

/// One of some names.
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for Choice<T> {
    fn expects(&self) -> String {
        let names: Vec<_> = self.0.iter().map(|(name, _)| toml_string(name)).collect();
        names.join(" or ")
    }
}

impl<T: Copy + PartialEq> Reads<T> for Choice<T> {
    fn read(&self, raw: Raw<'_>) -> Result<T, String> {
        let text = raw.text().map(str::trim);
        let chosen = self.0.iter().find(|(name, _)| Some(*name) == text);
        chosen.map(|(_, value)| *value).ok_or_else(|| self.not(raw))
    }

    fn written(&self, value: &T) -> String {
        let name = self.0.iter().find(|(_, choice)| choice == value).map_or("", |(name, _)| name);
        toml_string(name)
    }
}

/// A secret. Nothing of it is ever shown.
pub struct SecretText;

impl Kind for SecretText {
    fn expects(&self) -> String {
        "a text that is kept secret".to_owned()
    }
}

impl Reads<Secret> for SecretText {
    fn read(&self, raw: Raw<'_>) -> Result<Secret, String> {
        let text = raw.text().map(str::trim).filter(|text| !text.is_empty());
        text.map(|text| Secret::new(text.as_bytes().to_vec()))
            .ok_or_else(|| format!("must be {}", self.expects()))
    }

    fn written(&self, _: &Secret) -> String {
        toml_string("…")
    }
}

/// A proxy. Its user and password are never shown.
pub struct ProxyUrl;

impl Kind for ProxyUrl {
    fn expects(&self) -> String {
        "a proxy, like \"http://proxy.example.com:3128\"".to_owned()
    }
}

impl Reads<Proxy> for ProxyUrl {
    fn read(&self, raw: Raw<'_>) -> Result<Proxy, String> {
        let text = raw.text().map(str::trim).filter(|text| !text.is_empty());
        Proxy::parse(text.ok_or_else(|| format!("must be {}", self.expects()))?)
    }

    fn written(&self, value: &Proxy) -> String {
        toml_string(&value.to_string())
    }
}

/// A list; in the environment its items are separated by commas.
pub struct List<K>(pub K);

impl<K: Kind> Kind for List<K> {
    fn expects(&self) -> String {
        format!("a list, each {}", self.0.expects())
    }
}

impl<V, K: Reads<V>> Reads<Vec<V>> for List<K> {
    fn read(&self, raw: Raw<'_>) -> Result<Vec<V>, String> {
        match raw {
            Raw::Typed(Value::Array(_, items)) => items
                .iter()
                .map(|item| self.0.read(Raw::Typed(item)).map_err(|fault| format!("each {fault}")))
                .collect(),
            Raw::Typed(_) => Err(self.not(raw)),
            Raw::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| self.0.read(Raw::Text(item)).map_err(|fault| format!("each {fault}")))
                .collect(),
        }
    }

    fn written(&self, value: &Vec<V>) -> String {
        let items: Vec<_> = value.iter().map(|item| self.0.written(item)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// A setting that may be left out.
pub struct Optional<K>(pub K);

impl<K: Kind> Kind for Optional<K> {
    fn expects(&self) -> String {
        self.0.expects()
    }
}

impl<V, K: Reads<V>> Reads<Option<V>> for Optional<K> {
    fn read(&self, raw: Raw<'_>) -> Result<Option<V>, String> {
        // An empty environment variable is the usual way to unset one.
        if matches!(raw, Raw::Text("")) {
            return Ok(None);
        }
        self.0.read(raw).map(Some)
    }

    fn written(&self, value: &Option<V>) -> String {
        value.as_ref().map_or_else(String::new, |value| self.0.written(value))
    }
}

/// A string as TOML writes it.
pub fn toml_string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
