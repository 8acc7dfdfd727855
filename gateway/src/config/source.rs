//! Where settings come from: the TOML file and the environment, every value with its place.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ConfigError, Limits, Mistake};

/// Every setting by its name in the environment.
pub(super) const NAMES: [&str; 33] = [
    "PORT",
    "PUBLIC_URL",
    "II_URL",
    "II_CANISTER_ID",
    "II_URL_PROD",
    "II_CANISTER_ID_PROD",
    "II_HANDSHAKE",
    "II_HANDSHAKE_PROD",
    "IC_URL",
    "IC_ROOT_KEY",
    "SKILLS_URL",
    "IC_DASHBOARD_API",
    "IC_ICRC_API",
    "IC_SNS_API",
    "OAUTH_CLIENTS_FILE",
    "OAUTH_INTROSPECTION_CLIENTS_FILE",
    "OAUTH_ALLOWED_REDIRECT_PREFIXES",
    "OAUTH_DEVICE_GRANT",
    "OAUTH_CIMD_ENABLED",
    "ICGATE_LISTEN",
    "ICGATE_TLS_CERT",
    "ICGATE_TLS_KEY",
    "ICGATE_TRUSTED_PROXIES",
    "ICGATE_ALLOWED_ORIGINS",
    "ICGATE_SIGNER",
    "ICGATE_SIGNER_CA",
    "ICGATE_SIGNER_CERT",
    "ICGATE_SIGNER_KEY",
    "ICGATE_STATE_DIR",
    "ICGATE_DEV",
    "ICGATE_TOOLS",
    "ICGATE_REPAIR_PROTOCOL_HEADER",
    "ICGATE_CONFIG",
];

const CONFIG: &str = "ICGATE_CONFIG";
/// What a limit's key has before it in the environment.
const LIMITS: &str = "ICGATE_LIMITS_";

/// One value as it was written.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// One element for a plain value.
    pub(super) items: Vec<String>,
    /// `file:line: key`, or the environment variable.
    pub(super) place: String,
    /// Where relative paths start.
    pub(super) folder: PathBuf,
}

/// All settings that were given.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) settings: BTreeMap<&'static str, Setting>,
    pub(super) limits: BTreeMap<&'static str, Setting>,
    pub(super) mistakes: Vec<Mistake>,
}

impl Source {
    /// Reads the file, if one is named, and the environment over it. Unknown keys become mistakes; a file that
    /// is not TOML is an error by itself, since nothing more can be said about it.
    pub(super) fn read(env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut source = Source::default();
        if let Some(path) = env(CONFIG).filter(|path| !path.is_empty()) {
            source.read_file(Path::new(&path))?;
        }
        for name in NAMES.into_iter().filter(|name| *name != CONFIG) {
            // An empty variable counts as unset, so that scripts can pass their environment through.
            if let Some(value) = env(name).filter(|value| !value.trim().is_empty()) {
                let setting = Setting {
                    items: vec![value.trim().to_owned()],
                    place: name.to_owned(),
                    folder: PathBuf::new(),
                };
                source.settings.insert(name, setting);
            }
        }
        for key in Limits::keys() {
            let name = format!("{LIMITS}{}", key.to_ascii_uppercase());
            if let Some(value) = env(&name).filter(|value| !value.trim().is_empty()) {
                let setting = Setting {
                    items: vec![value.trim().to_owned()],
                    place: name,
                    folder: PathBuf::new(),
                };
                source.limits.insert(key, setting);
            }
        }
        Ok(source)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let only = |place: String, problem: String| {
            Err(ConfigError::Mistakes(vec![Mistake { place, problem }]))
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                return only(CONFIG.to_owned(), format!("{} {error}", path.display()));
            }
        };
        let file = File { path, text: &text };
        let table = match DeTable::parse(&text) {
            Ok(table) => table,
            Err(error) => {
                let offset = error.span().map_or(0, |span| span.start);
                return only(file.line(offset), error.message().to_owned());
            }
        };
        for (key, value) in table.get_ref() {
            self.take(&file, key, value);
        }
        Ok(())
    }

    fn take(
        &mut self,
        file: &File<'_>,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref().as_ref();
        if name == "limits" {
            match value.get_ref().as_table() {
                Some(table) => {
                    for (key, value) in table {
                        let known = Limits::keys().find(|known| known == key.get_ref());
                        if let Some((known, setting)) =
                            self.setting(file, "limits.", known, key, value)
                        {
                            self.limits.insert(known, setting);
                        }
                    }
                }
                None => self.mistake(file.place(key, "limits"), "must be a table"),
            }
            return;
        }
        let known = NAMES.into_iter().find(|known| {
            *known != CONFIG
                && known.eq_ignore_ascii_case(name)
                && name == name.to_ascii_lowercase()
        });
        if let Some((known, setting)) = self.setting(file, "", known, key, value) {
            self.settings.insert(known, setting);
        }
    }

    fn setting(
        &mut self,
        file: &File<'_>,
        table: &str,
        known: Option<&'static str>,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<(&'static str, Setting)> {
        let place = file.place(key, &format!("{table}{}", key.get_ref()));
        let Some(known) = known else {
            self.mistake(place, "is not a setting of this version");
            return None;
        };
        let items = match value.get_ref() {
            DeValue::Array(array) => array.iter().map(|item| plain(item.get_ref())).collect(),
            single => plain(single).map(|text| vec![text]),
        };
        let Some(items) = items else {
            self.mistake(
                place,
                "must be a string, a whole number, true or false, or a list of strings",
            );
            return None;
        };
        let folder = file.path.parent().map(Path::to_owned).unwrap_or_default();
        Some((
            known,
            Setting {
                items,
                place,
                folder,
            },
        ))
    }

    fn mistake(&mut self, place: String, problem: &str) {
        self.mistakes.push(Mistake {
            place,
            problem: problem.to_owned(),
        });
    }
}

fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.trim().to_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, offset: usize) -> String {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{}:{line}", self.path.display())
    }

    fn place(&self, key: &Spanned<toml::de::DeString<'_>>, name: &str) -> String {
        format!("{}: {name}", self.line(key.span().start))
    }
}
