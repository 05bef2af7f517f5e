//! Application configuration, as far as set-up needs it.

use http::Method;
use pushroll_testkit::{Fate, Status, TestApp, a_device, a_server, an_app, an_unknown_id};
use serde_json::{Value, json};

/// The items of a list, part by part, each of at most so many.
async fn all_parts(app: &TestApp, path: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}limit={limit}{after}");
        let part = app.admin_get(&target).await.expect(200).json();
        let items = part["items"].as_array().unwrap();
        assert!(items.len() <= limit);
        all.extend(items.iter().cloned());
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return all,
        }
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_administration_takes_the_admin_token_and_no_other() {
    let app = an_app().await;
    let paths = ["/admin/v1/orgs".to_owned(), format!("/admin/v1{}", app.admin_path())];
    for path in &paths {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let request = || app.client().request(method.clone(), path).json(&json!({}));
            for answer in [
                request().await,
                request().bearer("another token").await,
                request().bearer(&app.token).await,
                request().bearer("").await,
                request().header("authorization", &format!("Basic {}", app.admin_token())).await,
            ] {
                let _ = answer.problem(401);
                assert!(answer.header("www-authenticate").is_some());
            }
        }
    }
    assert_eq!(app.admin_get("/orgs").await.status, 200);
    // The scheme's letter case makes no difference.
    let header = format!("bearer {}", app.admin_token());
    let answer = app.client().get("/admin/v1/orgs").header("authorization", &header).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_organization_is_made_shown_and_listed() {
    let app = an_app().await;
    let made = app.admin_post("/orgs", &json!({"name": "Fabrikam"})).await.expect(201).json();
    assert_eq!(made["name"], "Fabrikam");
    let id = made["id"].as_str().unwrap();
    let shown = app.admin_get(&format!("/orgs/{id}")).await.expect(200).json();
    assert_eq!(shown, made);
    assert!(ids(&all_parts(&app, "/orgs", 100).await).contains(&id.to_owned()));
}

#[tokio::test]
async fn names_need_not_be_unique() {
    let app = an_app().await;
    for _ in 0..2 {
        let _ = app.admin_post("/orgs", &json!({"name": "Twice"})).await.expect(201);
        let body = app.simulator().app_body("Twice");
        let _ = app.admin_post(&format!("/orgs/{}/apps", app.org), &body).await.expect(201);
    }
}

#[tokio::test]
async fn an_app_is_made_with_both_sides_and_shown_without_secrets() {
    let app = an_app().await;
    let body = app.simulator().app_body("Shop");
    let path = format!("/orgs/{}/apps", app.org);
    let made = app.admin_post(&path, &body).await.expect(201).json();
    assert_eq!(made["name"], "Shop");
    let shown = app.admin_get(&format!("{path}/{}", made["id"].as_str().unwrap())).await;
    let listed = app.admin_get(&path).await;
    for answer in [shown.expect(200), listed.expect(200)] {
        let text = answer.text();
        assert!(text.contains(app.simulator().bundle_id()), "{text}");
        assert!(text.contains(&app.simulator().apns_key().key_id), "{text}");
        assert!(!text.contains("PRIVATE KEY") && !text.contains("whsec_"), "{text}");
    }
}

#[tokio::test]
async fn an_app_may_have_one_side_only() {
    for app in [an_app().without_ios().await, an_app().without_android().await] {
        let shown = app.admin_get(&app.admin_path()).await.expect(200).json();
        assert_eq!(shown["ios"].is_null(), !shown["android"].is_null(), "{shown}");
    }
}

#[tokio::test]
async fn a_change_leaves_what_is_absent_and_removes_what_is_null() {
    let app = an_app().await;
    let before = app.admin_get(&app.admin_path()).await.expect(200).json();
    let after = app.change(&json!({"name": "New"})).await.expect(200).json();
    assert_eq!(after["name"], "New");
    assert_eq!((&after["ios"], &after["android"]), (&before["ios"], &before["android"]));
    let after = app.change(&json!({"ios": {"mode": "auto"}})).await.expect(200).json();
    assert_eq!(after["ios"]["mode"], "auto");
    assert_eq!(after["ios"]["bundle_id"], before["ios"]["bundle_id"]);
    a_device().with_fate(Fate::Elsewhere).stored(&app).await;
    let after = app.change(&json!({"android": null})).await.expect(200).json();
    assert_eq!(after["android"], json!(null));
    let phone = a_device().on_android().registered(&app).await;
    assert_ne!(app.status_of(&phone).await, Status::Success);
}

#[tokio::test]
async fn what_is_not_known_in_a_body_is_refused() {
    let app = an_app().await;
    let path = format!("/orgs/{}/apps", app.org);
    let mut deep = app.simulator().app_body("x");
    deep["ios"]["bundelid"] = json!("x");
    for (answer, field) in [
        (app.admin_post("/orgs", &json!({"name": "x", "nmae": "y"})).await, "nmae"),
        (app.admin_post(&path, &deep).await, "ios.bundelid"),
        (app.change(&json!({"Name": "x"})).await, "Name"),
        (app.admin_post(&format!("{}/tokens", app.admin_path()), &json!({"x": 1})).await, "x"),
    ] {
        assert_eq!(answer.problem(400).field(), Some(field));
    }
}

#[tokio::test]
async fn wrong_input_is_answered_with_a_problem_that_names_the_field() {
    let app = an_app().await;
    let path = format!("/orgs/{}/apps", app.org);
    let good = || app.simulator().app_body("Shop");
    let with = |pointer: &str, value: Value| {
        let mut body = good();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, field) in [
        (json!({}), "name"),
        (with("/name", json!("")), "name"),
        (with("/name", json!("x".repeat(201))), "name"),
        (with("/ios/mode", json!("testflight")), "ios.mode"),
        (with("/ios/bundle_id", json!("")), "ios.bundle_id"),
        (with("/ios/key", json!(null)), "ios.key"),
        (with("/ios/key/key_id", json!("SHORT")), "ios.key.key_id"),
        (with("/ios/key/team_id", json!("")), "ios.key.team_id"),
        (with("/android/service_account", json!(null)), "android.service_account"),
    ] {
        let problem = app.admin_post(&path, &body).await.problem(400);
        assert_eq!(problem.field(), Some(field), "{}", problem.document);
    }
    let _ = app.admin_post("/orgs", &json!({"name": 1})).await.problem(400);
}

#[tokio::test]
async fn a_wrong_apns_key_is_caught_when_it_is_entered_and_told_what_to_upload_instead() {
    let app = an_app().await;
    let path = format!("/orgs/{}/apps", app.org);
    let account = app.simulator().service_account();
    let rsa = account["private_key"].as_str().unwrap().to_owned();
    // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384
    let p384 = "-----BEGIN PRIVATE KEY-----\n\
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDBPO5LgMEPEGdHiU0fI\n\
        -----END PRIVATE KEY-----\n";
    let certificate = app.simulator().ca_pem().to_owned();
    for (what, p8) in [
        ("an RSA key", rsa),
        ("a key on another curve", p384.to_owned()),
        ("a certificate", certificate),
        ("a service account", account.to_string()),
        ("some words", "my key".to_owned()),
        ("a cut key", app.simulator().apns_key().p8[..100].to_owned()),
    ] {
        let mut body = app.simulator().app_body("Shop");
        body["ios"]["key"]["p8"] = json!(p8);
        let problem = app.admin_post(&path, &body).await.problem(400);
        assert_eq!(problem.field(), Some("ios.key.p8"), "{what}");
        let document = problem.document.to_string();
        assert!(document.contains(".p8") || document.contains("AuthKey"), "{what}: {document}");
        assert!(!document.contains("PRIVATE KEY-----\\n"), "{what}: {document}");
    }
}

#[tokio::test]
async fn a_wrong_service_account_is_caught_when_it_is_entered_and_told_what_to_upload_instead() {
    let app = an_app().await;
    let path = format!("/orgs/{}/apps", app.org);
    let google_services = json!({
        "project_info": {"project_number": "1", "project_id": "shop", "storage_bucket": "x"},
        "client": [{"client_info": {"mobilesdk_app_id": "1:1:android:1"}, "api_key": []}],
        "configuration_version": "1",
    });
    let mut without_key = app.simulator().service_account();
    without_key.as_object_mut().unwrap().remove("private_key");
    let mut user = app.simulator().service_account();
    user["type"] = json!("authorized_user");
    let mut stranger = app.simulator().service_account();
    stranger["token_uri"] = json!("https://oauth.attacker.example/token");
    for (what, account) in [
        ("google-services.json", google_services),
        ("no private key", without_key),
        ("a user's credentials", user),
        ("another token endpoint", stranger),
        ("no JSON", json!("not JSON")),
        ("nothing", json!({})),
    ] {
        let mut body = app.simulator().app_body("Shop");
        body["android"]["service_account"] = account;
        let problem = app.admin_post(&path, &body).await.problem(400);
        let field = problem.field().unwrap().to_owned();
        assert!(field.starts_with("android.service_account"), "{what}: {field}");
        assert!(!problem.document.to_string().contains("PRIVATE KEY"), "{what}");
        if what == "google-services.json" {
            let document = problem.document.to_string();
            assert!(document.contains("service account"), "{document}");
        }
    }
}

#[tokio::test]
async fn a_service_account_may_be_an_object_or_the_files_text() {
    let app = an_app().await;
    let mut body = app.simulator().app_body("Shop");
    body["android"]["service_account"] = json!(app.simulator().service_account().to_string());
    let _ = app.admin_post(&format!("/orgs/{}/apps", app.org), &body).await.expect(201);
}

#[tokio::test]
async fn an_api_token_is_shown_once_and_has_256_random_bits() {
    let app = an_app().await;
    let path = format!("{}/tokens", app.admin_path());
    let body = json!({"name": "back end", "expires_at": "2999-12-31T23:59:59Z"});
    let made = app.admin_post(&path, &body).await.expect(201).json();
    let token = made["token"].as_str().unwrap();
    // 32 bytes in base64url, whatever stands before them.
    assert!(token.len() >= 43, "{token}");
    let listed = app.admin_get(&path).await.expect(200);
    assert!(!listed.text().contains(token));
    assert!(!listed.text().contains(&app.token));
    let items = listed.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 2);
    let it = items.iter().find(|item| item["id"] == made["id"]).unwrap();
    assert_eq!(it["name"], "back end");
    assert!(it["expires_at"].as_str().unwrap().starts_with("2999-12-31T23:59:59"));
    let (first, second) = (app.new_token().await.0, app.new_token().await.0);
    assert_ne!(first, second);
}

#[tokio::test]
async fn a_token_is_made_without_a_body_too_and_not_with_an_expiry_that_is_over() {
    let app = an_app().await;
    let target = format!("/admin/v1{}/tokens", app.admin_path());
    let bare = app.client().request(Method::POST, &target).bearer(app.admin_token());
    let _ = bare.await.expect(201);
    for wrong in ["2001-01-01T00:00:00Z", "tomorrow", "2999-13-01T00:00:00Z"] {
        let path = format!("{}/tokens", app.admin_path());
        let answer = app.admin_post(&path, &json!({"expires_at": wrong})).await;
        assert_eq!(answer.problem(400).field(), Some("expires_at"), "{wrong}");
    }
}

#[tokio::test]
async fn a_revoked_token_stays_in_the_list_with_its_time() {
    let app = an_app().await;
    let (_, id) = app.new_token().await;
    app.revoke(&id).await;
    let listed = all_parts(&app, &format!("{}/tokens", app.admin_path()), 100).await;
    let it = listed.iter().find(|item| item["id"] == id.as_str()).unwrap();
    assert!(it["revoked_at"].is_string(), "{it}");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let app = an_app().await;
    let stranger = an_app().await;
    let nobody = an_unknown_id();
    for path in [
        format!("/orgs/{nobody}"),
        format!("/orgs/{nobody}/apps"),
        format!("/orgs/{}/apps/{nobody}", app.org),
        format!("/orgs/{}/apps/{}", stranger.org, app.id),
        format!("/orgs/{}/apps/{}/tokens", stranger.org, app.id),
        format!("{}/registrations/{nobody}", app.admin_path()),
        format!("/orgs/{}/apps/{}/devices?user_id=u", stranger.org, app.id),
    ] {
        let _ = app.admin_get(&path).await.problem(404);
    }
    let _ = app.admin_delete(&format!("{}/tokens/{nobody}", app.admin_path())).await.problem(404);
    let theirs = format!("/orgs/{}/apps/{}/tokens/{}", app.org, app.id, stranger.token_id);
    let _ = app.admin_delete(&theirs).await.problem(404);
    app.delete().await;
    let _ = app.admin_get(&app.admin_path()).await.problem(404);
    let _ = app.admin_delete(&app.admin_path()).await.problem(404);
}

#[tokio::test]
async fn lists_are_paged() {
    let app = an_app().await;
    let mut made = vec![app.id.clone()];
    for _ in 0..6 {
        made.push(an_app().beside(&app).await.id);
    }
    let path = format!("/orgs/{}/apps", app.org);
    for limit in [1, 3, 7, 100] {
        assert_eq!(ids(&all_parts(&app, &path, limit).await), made);
    }
    for wrong in ["0", "1001", "x", "-1"] {
        let answer = app.admin_get(&format!("{path}?limit={wrong}")).await;
        assert_eq!(answer.problem(400).field(), Some("limit"), "{wrong}");
    }
}

#[tokio::test]
async fn the_devices_of_a_user_are_paged() {
    let app = an_app().await;
    let mut stored = Vec::new();
    for _ in 0..5 {
        stored.push(a_device().of_user("a b/ü?").stored(&app).await.id);
    }
    let path = format!("{}/devices?user_id=a%20b%2F%C3%BC%3F", app.admin_path());
    for limit in [1, 2, 5] {
        let mut found = ids(&all_parts(&app, &path, limit).await);
        found.sort_unstable();
        assert_eq!(found, stored);
    }
    let answer = app.admin_get(&format!("{}/registrations", app.admin_path())).await;
    assert_eq!(answer.problem(400).field(), Some("user_id"));
}

#[tokio::test]
async fn without_a_user_every_device_of_the_app_is_listed_once() {
    let app = an_app().await;
    let other = an_app().beside(&app).await;
    let mut stored = Vec::new();
    for n in 0..9 {
        stored.push(a_device().of_user(format!("user {}", n % 5)).stored(&app).await.id);
    }
    a_device().of_user("user 1").stored(&other).await;
    stored.sort_unstable();
    for limit in [1, 4, 100] {
        let path = format!("{}/devices", app.admin_path());
        let mut found = ids(&all_parts(&app, &path, limit).await);
        found.sort_unstable();
        assert_eq!(found, stored);
    }
}

#[tokio::test]
async fn the_registrations_of_a_user_are_listed_pending_and_ended_newest_first() {
    let server = a_server().on_a_manual_clock().start().await;
    let mut made = Vec::new();
    for fate in [Fate::Accepted, Fate::Dead, Fate::Busy, Fate::Accepted, Fate::Bad] {
        let phone = a_device().of_user("u").with_fate(fate).registered(&server).await;
        match fate {
            Fate::Busy => drop(server.record_when(&phone.id, |it| it["attempts"] == 1).await),
            _ => drop(server.status_of(&phone).await),
        }
        made.insert(0, phone.id);
        server.clock().advance(std::time::Duration::from_millis(5));
    }
    let path = format!("{}/registrations?user_id=u", server.admin_path());
    for limit in [1, 2, 100] {
        assert_eq!(ids(&all_parts(&server, &path, limit).await), made, "{limit}");
    }
    let all = all_parts(&server, &path, 100).await;
    let states: Vec<_> = all.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["Failed", "Success", "Pending", "Failed", "Success"]);
    assert_eq!(all[2]["provider"]["reason"], "TooManyRequests");
    let one = server.record_now(&made[0]).await.unwrap();
    assert_eq!(one, all[0]);
}

#[tokio::test]
async fn the_configuration_outlives_a_restart() {
    let server = a_server().start().await;
    let (revoked, revoked_id) = server.new_token().await;
    server.revoke(&revoked_id).await;
    let deleted = server.another_app().await;
    deleted.delete().await;
    server.restart().await;
    a_device().on_ios().stored(&server).await;
    a_device().on_android().stored(&server).await;
    let _ = server.with_token(&revoked).ask_status([an_unknown_id()]).await.problem(400);
    let _ = server.admin_get(&deleted.admin_path()).await.problem(404);
}

#[tokio::test]
async fn a_start_with_another_sealing_key_stops() {
    let server = a_server().start().await;
    server.stop().await;
    server.set("sealing.key", "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=");
    let refused = server.try_to_start_again().await.unwrap_err().to_string();
    assert!(refused.contains("key"), "{refused}");
}
