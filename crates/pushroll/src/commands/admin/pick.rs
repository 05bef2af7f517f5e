//! Finding what is meant: an organization or app by its id or by its name.

use pushroll_domain::{AppId, OrgId};
use serde_json::Value;

use super::session::{Session, text};
use super::stop::Stop;
use crate::client::ClientFault;
use crate::commands::Exit;

/// An app that was found.
#[derive(Debug, Clone)]
pub struct App {
    /// Its organization's id.
    pub org: String,
    /// Its id.
    pub id: String,
    /// What the server says of it.
    pub body: Value,
}

impl App {
    /// As the server lists it.
    pub fn of(body: Value) -> Self {
        Self { org: text(&body["org_id"]), id: text(&body["id"]), body }
    }

    /// Its path in the administration, with what follows.
    pub fn path(&self, rest: &str) -> String {
        format!("/admin/v1{}{rest}", self.list_path(""))
    }

    /// As [`App::path`], for lists.
    pub fn list_path(&self, rest: &str) -> String {
        format!("/orgs/{}/apps/{}{rest}", self.org, self.id)
    }

    /// Its name.
    pub fn name(&self) -> String {
        text(&self.body["name"])
    }
}

/// The organization that is meant; without a word the only one that there is.
pub(super) async fn pick_org(session: &mut Session, meant: Option<&str>) -> Result<Value, Stop> {
    if let Some(id) = meant.and_then(|meant| OrgId::parse(meant).ok()) {
        return Ok(session.client.get(&format!("/admin/v1/orgs/{id}")).await?);
    }
    let orgs = session.all("/orgs").await?;
    match meant {
        Some(name) => only(named(orgs, name), "organization", name, "pushroll org list"),
        None => match <[Value; 1]>::try_from(orgs) {
            Ok([org]) => Ok(org),
            Err(orgs) if orgs.is_empty() => {
                let message =
                    "there is no organization yet: make one with pushroll org create NAME";
                Err(Stop::new(Exit::Failed, message))
            }
            Err(orgs) => Err(Stop::usage(format!(
                "there are {} organizations: say which with --org, by name or id\n{}",
                orgs.len(),
                candidates(&orgs)
            ))),
        },
    }
}

/// The app that is meant, in this organization or in any.
pub async fn pick_app(session: &mut Session, org: Option<&str>, meant: &str) -> Result<App, Stop> {
    let orgs = match org {
        Some(_) => vec![pick_org(session, org).await?],
        None => session.all("/orgs").await?,
    };
    let id = AppId::parse(meant).ok();
    let mut found = Vec::new();
    for org in &orgs {
        let apps = format!("/orgs/{}/apps", text(&org["id"]));
        match id {
            Some(id) => match session.client.get(&format!("/admin/v1{apps}/{id}")).await {
                Ok(app) => return Ok(App::of(app)),
                Err(ClientFault::Refused(problem)) if problem.status == 404 => {}
                Err(fault) => return Err(fault.into()),
            },
            None => found.extend(named(session.all(&apps).await?, meant)),
        }
    }
    only(found, "app", meant, "pushroll app list").map(App::of)
}

fn named(items: Vec<Value>, name: &str) -> Vec<Value> {
    items.into_iter().filter(|item| item["name"] == name).collect()
}

/// The only one of those that were found.
fn only(found: Vec<Value>, what: &str, meant: &str, list: &str) -> Result<Value, Stop> {
    match <[Value; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(found) if found.is_empty() => {
            let message = format!("there is no {what} with the name or id {meant:?}; see: {list}");
            Err(Stop::new(Exit::Failed, message))
        }
        Err(found) => Err(Stop::usage(format!(
            "{} {what}s are called {meant:?}: say which by its id\n{}",
            found.len(),
            candidates(&found)
        ))),
    }
}

fn candidates(items: &[Value]) -> String {
    let line = |item: &Value| format!("  {}  {}", text(&item["id"]), text(&item["name"]));
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_that_is_nobody_s_and_one_that_is_several_s_are_told_apart() {
        let items = || vec![json!({"id": "1", "name": "a"}), json!({"id": "2", "name": "a"})];
        let none = only(named(items(), "b"), "app", "b", "pushroll app list").unwrap_err();
        assert_eq!(none.exit, Exit::Failed);
        let two = only(named(items(), "a"), "app", "a", "pushroll app list").unwrap_err();
        assert_eq!(two.exit, Exit::Usage);
        assert!(two.message.contains("\n  1  a\n  2  a"), "{}", two.message);
        let one = only(named(vec![json!({"name": "c"})], "c"), "app", "c", "").unwrap();
        assert_eq!(one, json!({"name": "c"}));
    }
}
