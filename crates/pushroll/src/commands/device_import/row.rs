//! A device as a line has it.

use pushroll_domain::{AppId, DeviceToken, Platform, UserId};
use serde_json::Value;

/// A device as a line has it.
#[derive(Debug, Clone)]
pub struct Row {
    /// The app; `None` for the one that the command line names.
    pub app: Option<AppId>,
    /// The user.
    pub user: UserId,
    /// The device token.
    pub token: DeviceToken,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    App,
    User,
    Platform,
    Token,
}

impl Field {
    const ALL: [Self; 4] = [Self::App, Self::User, Self::Platform, Self::Token];

    const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::User => "user",
            Self::Platform => "platform",
            Self::Token => "token",
        }
    }

    /// Under our name or the API's, in any letter case.
    fn called(name: &str) -> Option<Self> {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        match plain.to_ascii_lowercase().as_str() {
            "app" | "appid" | "mobileappid" => Some(Self::App),
            "user" | "userid" => Some(Self::User),
            "platform" => Some(Self::Platform),
            "token" | "devicetoken" => Some(Self::Token),
            _ => None,
        }
    }
}

/// Where in a line of CSV what is.
pub struct Columns([Option<usize>; 4]);

impl Columns {
    /// Reads the line that names the columns. Others than ours are left alone.
    ///
    /// # Errors
    /// When one is missing or there twice.
    pub fn of(names: &[String], app_is_said: bool) -> Result<Self, String> {
        let mut columns = [None; 4];
        for (at, name) in names.iter().enumerate() {
            let Some(field) = Field::called(name) else { continue };
            if columns[field as usize].replace(at).is_some() {
                return Err(format!("names the column {} twice", field.name()));
            }
        }
        for field in Field::ALL {
            if columns[field as usize].is_none() && !(field == Field::App && app_is_said) {
                let hint = if field == Field::App { " (or say which app with --app)" } else { "" };
                return Err(format!("names no column {}{hint}", field.name()));
            }
        }
        Ok(Self(columns))
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn row(&self, fields: &[String]) -> Result<Row, String> {
        let get = |field: Field| {
            let at = self.0[field as usize]?;
            fields.get(at).map(String::as_str)
        };
        Row::of(get(Field::App), get(Field::User), get(Field::Platform), get(Field::Token))
    }
}

impl Row {
    /// Reads an object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_json(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("is no JSON object")?;
        let mut texts = [None; 4];
        for (name, value) in object {
            let Some(field) = Field::called(name) else { continue };
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.as_str(),
                _ => return Err(format!("{} is no string", field.name())),
            };
            if texts[field as usize].replace(text).is_some() {
                return Err(format!("has {} twice", field.name()));
            }
        }
        let [app, user, platform, token] = texts;
        Self::of(app, user, platform, token)
    }

    fn of(
        app: Option<&str>,
        user: Option<&str>,
        platform: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, String> {
        let missing = |field: Field| format!("has no {}", field.name());
        let app = app.map(str::trim).filter(|app| !app.is_empty());
        let app = app.map(|app| AppId::parse(app).map_err(|fault| format!("app: {fault}")));
        let platform = match platform.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "ios" | "apns" => Platform::Ios,
            "android" | "fcm" => Platform::Android,
            "" => return Err(missing(Field::Platform)),
            _ => return Err("platform must be ios or android".to_owned()),
        };
        let user = user.ok_or_else(|| missing(Field::User))?;
        let user = UserId::parse(user).map_err(|fault| format!("user {fault}"))?;
        let token = token.ok_or_else(|| missing(Field::Token))?.trim();
        let token =
            DeviceToken::parse(platform, token).map_err(|fault| format!("token {fault}"))?;
        Ok(Self { app: app.transpose()?, user, token })
    }
}
