//! What an operator does once: an organization, an app for both platforms, API tokens.

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};

use super::plan::With;
use super::receiver::Secrets;
use crate::client::Client;
use crate::trial::Trial;

/// The ids and secrets that the demo works with.
pub struct Account {
    pub org: String,
    pub app: String,
    pub api_token: String,
    pub admin_token: String,
    other_apps_token: String,
    revoked_token: String,
    webhook_secret: String,
}

impl Account {
    /// Makes organization, apps and tokens through the admin API.
    pub async fn make(admin: &mut Client, trial: &Trial) -> Result<Self> {
        let made = admin.post("/admin/v1/orgs", &json!({"name": "Demo"})).await?;
        let org = text(&made, "id")?;

        let apps = format!("/admin/v1/orgs/{org}/apps");
        let body = trial.simulator.app_body("Demo app");
        let made = admin.post(&apps, &body).await?;
        let (app, webhook_secret) = (text(&made, "id")?, text(&made, "webhook_secret")?);
        let body = trial.simulator.app_body("Another app");
        let made = admin.post(&apps, &body).await?;
        let another = text(&made, "id")?;

        let (_, api_token) = token(admin, &apps, &app, "Demo back end").await?;
        let (_, other_apps_token) = token(admin, &apps, &another, "Another").await?;
        let (id, revoked_token) = token(admin, &apps, &app, "Revoked").await?;
        let path = format!("{apps}/{app}/tokens/{id}");
        admin.expect(Method::DELETE, &path, &[], None).await?;
        Ok(Self {
            org,
            app,
            api_token,
            admin_token: str::from_utf8(trial.admin_token.reveal())?.to_owned(),
            other_apps_token,
            revoked_token,
            webhook_secret,
        })
    }

    /// The API token that is meant.
    pub fn token(&self, with: With) -> &str {
        match with {
            With::Own => &self.api_token,
            With::OfAnotherApp => &self.other_apps_token,
            With::Revoked => &self.revoked_token,
        }
    }

    /// What the callback of a registration with this token is signed with.
    pub fn secrets(&self, with: With) -> Secrets<'_> {
        let webhook_secret = (with == With::Own).then_some(self.webhook_secret.as_str());
        Secrets { api_token: self.token(with), webhook_secret }
    }

    /// The path of a call of the device registration API.
    pub fn devices(&self, rest: &str) -> String {
        format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices{rest}", self.org)
    }

    /// The path of a question about the app.
    pub fn about_app(&self, rest: &str) -> String {
        format!("/admin/v1/orgs/{}/apps/{}/{rest}", self.org, self.app)
    }
}

/// Makes an API token: its id, and the token.
async fn token(admin: &mut Client, apps: &str, app: &str, name: &str) -> Result<(String, String)> {
    let (path, body) = (format!("{apps}/{app}/tokens"), json!({"name": name}));
    let made = admin.post(&path, &body).await?;
    Ok((text(&made, "id")?, text(&made, "token")?))
}

fn text(answer: &Value, property: &str) -> Result<String> {
    let text = answer[property].as_str();
    Ok(text.with_context(|| format!("the answer has no {property}: {answer}"))?.to_owned())
}
