//! The reference page of the settings, docs/SETTINGS.md, made of their descriptions.

use std::fmt::Write as _;

use super::Settings;
use super::source::environment_variable;
use super::table::SettingInfo;

const HEAD: &str = "\
# Settings

Made by `pushroll config reference`: change the descriptions in `crates/pushroll/src/settings/sections.rs`, not this page.

Settings come from a file, `pushroll.toml` in the working directory or the one that `--config` or `PUSHROLL_CONFIG` names, and over
it from the environment: `body_bytes` of `[limits]` is `PUSHROLL_LIMITS__BODY_BYTES`; the items of a list are separated by commas there.
Everything has a default. What is not known is refused, and every fault is told at once: `pushroll config check`. What is in
force, and from where: `pushroll config show`.
";

impl Settings {
    /// The reference page, in Markdown.
    #[must_use]
    pub fn reference_page() -> String {
        let mut page = HEAD.to_owned();
        let (mut section, mut about) = (None, "");
        for info in Self::reference() {
            if section != Some(info.section) {
                section = Some(info.section);
                about = "";
                let title = if info.section.is_empty() {
                    "At the top of the file".to_owned()
                } else {
                    format!("`[{}]`", info.section)
                };
                let _ = write!(page, "\n## {title}\n");
            }
            if about != info.about {
                about = info.about;
                let _ = write!(page, "\n{about}\n\n| setting | default | |\n| --- | --- | --- |\n");
            }
            row(&mut page, &info);
        }
        page
    }
}

fn row(page: &mut String, info: &SettingInfo) {
    let SettingInfo { key, default, doc, expects, .. } = info;
    let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
    let variable = environment_variable(&info.path());
    let text = format!("{doc} Must be {expects}. `{variable}`").replace('|', "\\|");
    let _ = writeln!(page, "| `{key}` | {} | {text} |", default.replace('|', "\\|"));
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/SETTINGS.md");
    /// Set, the page is written and not compared.
    const UPDATE: &str = "PUSHROLL_DEV_UPDATE_DOCS";

    #[test]
    fn the_reference_page_is_the_one_in_docs() {
        let page = Settings::reference_page();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(FILE, &page).unwrap();
        }
        let kept = std::fs::read_to_string(FILE).unwrap_or_default();
        let same = kept == page;
        assert!(
            same,
            "docs/SETTINGS.md is not what the settings say: {UPDATE}=1 cargo test -p pushroll --lib reference_page"
        );
    }

    #[test]
    fn every_setting_is_on_the_page_with_its_variable() {
        let page = Settings::reference_page();
        for info in Settings::reference() {
            let line = page.lines().find(|line| {
                line.starts_with(&format!("| `{}` |", info.key))
                    && line.contains(&environment_variable(&info.path()))
            });
            assert!(line.is_some(), "{}", info.path());
            assert!(!info.about.is_empty(), "{}", info.section);
        }
        assert!(!page.contains("\n\n\n"));
    }
}
