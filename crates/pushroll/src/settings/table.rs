//! Every setting is described once, by [`section!`]: from there come the struct, the defaults, the
//! check for unknown keys, and the reference page.

/// A setting as it is documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingInfo {
    /// The table that it is in; empty for the top of the file.
    pub section: &'static str,
    /// Its key in that table.
    pub key: &'static str,
    /// What is expected.
    pub expects: String,
    /// The default as it would be written in the file; empty when there is none.
    pub default: String,
    /// What it is about.
    pub doc: String,
    /// What its table is about.
    pub about: &'static str,
}

impl SettingInfo {
    /// The full key: `limits.body_bytes`.
    #[must_use]
    pub fn path(&self) -> String {
        path(self.section, self.key)
    }
}

/// The full key of a setting.
pub(super) fn path(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// A table of settings.
pub(super) trait Section: Sized {
    /// Reads it; faults are kept in the reader, and the default stands in for what is wrong.
    fn read(reader: &mut super::source::Reader) -> Self;

    /// Describes its settings.
    fn describe(into: &mut Vec<SettingInfo>);
}

/// Describes a table of settings: of each its doc, field, key, type, default and kind.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $name:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:literal $field:ident: $type:ty = $default:expr, $kind:expr;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        $visibility struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::settings::table::Section for $name {
            fn read(reader: &mut $crate::settings::source::Reader) -> Self {
                Self { $( $field: reader.read($section, $key, &$kind, || $default), )+ }
            }

            fn describe(into: &mut Vec<$crate::settings::table::SettingInfo>) {
                const ABOUT: &str = concat!($($about),+).trim_ascii();
                $(
                    let default: $type = $default;
                    into.push($crate::settings::table::SettingInfo {
                        section: $section,
                        key: $key,
                        expects: $crate::settings::kinds::Kind::expects(&$kind),
                        default: $crate::settings::kinds::Reads::written(&$kind, &default),
                        doc: [$($doc.trim()),+].join(" "),
                        about: ABOUT,
                    });
                )+
            }
        }
    };
}

pub(super) use section;
