//! Who changed the configuration.

use serde_json::{Value as Json, json};

use crate::running::{ADMIN_TOKEN, Running, running};

/// What is on the list, newest first.
async fn listed(server: &Running, query: &str) -> Vec<Json> {
    let answer = server.admin("GET", &format!("/audit{query}"), None).await;
    assert_eq!(answer.status, 200);
    answer.json()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_change_is_told_with_who_made_it_from_where_and_which_fields_were_given() {
    let server = running().await;
    let (org, app) = (server.org, server.app);
    let path = format!("/orgs/{org}/apps/{app}");
    let made = server.admin("POST", "/orgs", Some(json!({ "name": "Contoso" }))).await.json();
    let patch = json!({ "description": "quite private", "callbacks": { "retries": {} } });
    server.admin("PATCH", &path, Some(patch)).await;
    let secret = server.admin("POST", &format!("{path}/webhook-secret/rotate"), None).await;
    assert_eq!(
        server.admin("DELETE", &format!("{path}/webhook-secret/old"), None).await.status,
        204
    );
    let body = json!({ "name": "back end" });
    let token = server.admin("POST", &format!("{path}/tokens"), Some(body)).await.json();
    let token_id = token["id"].as_str().unwrap();
    let revoked = server.admin("DELETE", &format!("{path}/tokens/{token_id}"), None).await;
    assert_eq!(revoked.status, 204);
    assert_eq!(server.admin("DELETE", &path, None).await.status, 204);
    let entries = listed(&server, "?limit=7").await;
    let told: Vec<&str> =
        entries.iter().map(|entry| entry["action"].as_str().unwrap()).rev().collect();
    let expected = [
        "organization.create",
        "app.change",
        "webhook-secret.rotate",
        "webhook-secret.end-old",
        "token.create",
        "token.revoke",
        "app.delete",
    ];
    assert_eq!(told, expected);
    assert_eq!(entries[6]["org_id"], made["id"]);
    assert_eq!((&entries[6]["name"], &entries[6]["app_id"]), (&json!("Contoso"), &Json::Null));
    assert_eq!(entries[5]["fields"], json!(["description", "callbacks.retries"]));
    assert_eq!((&entries[2]["token_id"], &entries[2]["name"]), (&token["id"], &json!("back end")));
    for entry in &entries {
        let by = entry["by"].as_str().unwrap();
        assert!(by.starts_with("admin-token ") && by.len() == 20, "{by}");
        assert_eq!(entry["source"], "127.0.0.1");
    }
    // Nothing that is secret, nor what a field was changed to.
    let text = json!(entries).to_string();
    let secret = secret.json()["webhook_secret"].as_str().unwrap().to_owned();
    for secret in [token["token"].as_str().unwrap(), &secret, ADMIN_TOKEN, "quite private"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn what_is_refused_or_only_asked_for_leaves_no_entry() {
    let server = running().await;
    let path = format!("/orgs/{}/apps/{}", server.org, server.app);
    let before = listed(&server, "").await;
    server.admin("POST", "/orgs", Some(json!({ "name": "" }))).await.problem(400);
    server.admin("PATCH", &path, Some(json!({ "nmae": "x" }))).await.problem(400);
    server.admin("PATCH", &path, Some(json!({ "ios": { "mode": "auto" } }))).await.problem(400);
    let past = json!({ "expires_at": "2001-01-01T00:00:00Z" });
    server.admin("POST", &format!("{path}/tokens"), Some(past)).await.problem(400);
    let unknown = format!("{path}/tokens/{}", server.org);
    server.admin("DELETE", &unknown, None).await.problem(404);
    // There is no old one.
    assert_eq!(
        server.admin("DELETE", &format!("{path}/webhook-secret/old"), None).await.status,
        204
    );
    server.ask("POST", "/admin/v1/orgs", &[], r#"{"name": "x"}"#).await.problem(401);
    for read in ["/orgs", &path, "/audit", "/openapi.json"] {
        assert_eq!(server.admin("GET", read, None).await.status, 200);
    }
    assert_eq!(listed(&server, "").await, before);
}

#[tokio::test]
async fn the_list_is_read_in_parts_and_by_organization_and_app() {
    let server = running().await;
    for name in ["A", "B", "C"] {
        server.admin("POST", "/orgs", Some(json!({ "name": name }))).await;
    }
    let first = server.admin("GET", "/audit?limit=2", None).await.json();
    let names = |list: &Json| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["C", "B"]);
    let next = first["next"].as_str().unwrap();
    let second = server.admin("GET", &format!("/audit?limit=2&after={next}"), None).await.json();
    assert_eq!(names(&second)[0], "A");
    let of_org = listed(&server, &format!("?org_id={}", server.org)).await;
    assert_eq!(of_org.len(), 3, "organization, app and token");
    let of_app = listed(&server, &format!("?app_id={}", server.app)).await;
    assert_eq!(of_app.len(), 2);
    for query in ["?org_id=x", "?app_id=1", "?limit=0", "?limit=2&limit=3", "?limit=x&limit="] {
        server.admin("GET", &format!("/audit{query}"), None).await.problem(400);
    }
    assert_eq!(listed(&server, "?limit=2&limit=&limit=2").await.len(), 2, "the same is no other");
}
