use pushroll_testkit::{Fate, a_device, a_server, an_app};
use serde_json::json;

use super::{Operator, arg, program, run};

#[tokio::test]
async fn an_operator_sets_an_app_up_and_takes_it_down_without_curl() {
    let server = a_server().start().await;
    let operator = Operator::of(&server);
    let org = operator.json(["org", "create", "Fabrikam"]).await;
    let org_id = org["id"].as_str().unwrap();
    let table = operator.run(["org", "list"]).await.ended(0).out;
    assert!(table.starts_with("ID") && table.contains("Fabrikam"), "{table}");

    // The files as Apple and Google give them out.
    let simulator = server.simulator();
    let key = simulator.apns_key();
    let p8 = server.dir().join(format!("AuthKey_{}.p8", key.key_id));
    std::fs::write(&p8, &key.p8).unwrap();
    let account = server.dir().join("service-account.json");
    let body = simulator.app_body("x");
    std::fs::write(&account, body["android"]["service_account"].to_string()).unwrap();
    let create = [
        "app",
        "create",
        "Shop",
        "--org",
        "Fabrikam",
        "--bundle-id",
        simulator.bundle_id(),
        "--p8",
        arg(&p8),
        "--team-id",
        &key.team_id,
        "--service-account",
        arg(&account),
    ];
    let made = operator.run(create).await.ended(0).out;
    assert!(made.contains("webhook secret") && made.contains("whsec_"), "{made}");
    assert!(!made.contains("PRIVATE KEY"), "{made}");

    let shown = operator.json(["app", "show", "Shop", "--org", org_id]).await;
    assert_eq!(shown["ios"]["mode"], "auto");
    assert_eq!(shown["ios"]["key"]["key_id"], key.key_id);
    let app = shown["id"].as_str().unwrap();
    let check = operator.run(["app", "check", app]).await.ended(0).out;
    assert_eq!(check.matches('✓').count(), 3, "{check}");

    let token = operator.json(["token", "create", app, "--name", "back end", "--days", "30"]).await;
    assert!(token["token"].as_str().unwrap().starts_with("prt_"));
    assert!(token["expires_at"].is_string());
    let listed = operator.run(["token", "list", app]).await.ended(0).out;
    assert!(listed.contains("back end") && !listed.contains("prt_"), "{listed}");
    // Nobody is there to be asked.
    let id = token["id"].as_str().unwrap();
    let asked = operator.run(["token", "revoke", app, id]).await.ended(64);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    operator.run(["token", "revoke", app, id, "--yes"]).await.ended(0);
    assert!(operator.json(["token", "list", app]).await[0]["revoked_at"].is_string());

    operator.run(["app", "update", app, "--name", "Store", "--remove-android"]).await.ended(0);
    let shown = operator.json(["app", "show", "Store"]).await;
    assert_eq!((&shown["android"], &shown["ios"]["mode"]), (&json!(null), &json!("auto")));
    operator.run(["app", "delete", app, "--yes"]).await.ended(0);
    let gone = operator.run(["app", "show", app]).await.ended(1);
    assert!(gone.err.contains("pushroll app list"), "{}", gone.err);
}

#[tokio::test]
async fn the_wrong_file_is_told_with_the_right_one_and_a_code_of_its_own() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let file = app.dir().join("google-services.json");
    std::fs::write(&file, r#"{"project_info": {"project_id": "x"}, "client": []}"#).unwrap();
    let update = ["app", "update", &app.id, "--service-account", arg(&file)];
    let refused = operator.run(update).await.ended(65);
    assert!(refused.err.contains("google-services.json"), "{}", refused.err);
    assert!(refused.err.contains("Generate new private key"), "{}", refused.err);
    let missing = ["app", "update", &app.id, "--service-account", "/nowhere.json"];
    assert!(operator.run(missing).await.ended(66).err.contains("/nowhere.json"));
    operator.run(["app", "update", &app.id]).await.ended(64);
}

#[tokio::test]
async fn devices_and_registrations_of_a_user_are_shown_with_the_provider_s_words() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let user = "a b/ü?";
    let phone = a_device().of_user(user).stored(&app).await;
    let dead = a_device().of_user(user).with_fate(Fate::Dead).registered(&app).await;
    let _ = app.status_of(&dead).await;
    let devices = operator.run(["device", "list", &app.id, "--user", user]).await.ended(0).out;
    assert!(devices.contains(&phone.token), "{devices}");
    let list = ["registration", "list", &app.id, "--user", user];
    let registrations = operator.run(list).await.ended(0).out;
    assert!(registrations.contains("DryRunSendingFailed"), "{registrations}");
    assert!(registrations.contains("410 Unregistered"), "{registrations}");
    assert!(!registrations.contains(&dead.token), "{registrations}");
    let shown = operator.json(["registration", "show", &app.id, &dead.id]).await;
    assert_eq!(shown["provider"]["reason"], "Unregistered");
    let none = operator.run(["device", "list", &app.id, "--user", "nobody"]).await.ended(0);
    assert_eq!(none.out, "");
}

#[tokio::test]
async fn a_name_that_means_several_is_asked_back_with_their_ids() {
    let app = an_app().await;
    let other = an_app().beside(&app).await;
    let operator = Operator::of(&app);
    let asked = operator.run(["app", "show", "Shop", "--org", &app.org]).await.ended(64);
    for id in [&app.id, &other.id] {
        assert!(asked.err.contains(id.as_str()), "{}", asked.err);
    }
    let shown = operator.json(["app", "show", &other.id, "--org", &app.org]).await;
    assert_eq!(shown["id"], other.id);
}

#[tokio::test]
async fn who_is_not_let_in_or_finds_nobody_is_told_so() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let bare = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).current_dir(app.dir());
        command
    };
    let url = operator.url();
    let refused =
        run(&mut bare(&["org", "list", "--url", url, "--admin-token", "not-the-token-at-all"]))
            .await;
    let refused = refused.ended(77);
    assert!(!refused.err.contains("not-the-token-at-all"), "{}", refused.err);
    let none = run(&mut bare(&["org", "list", "--url", url])).await.ended(78);
    assert!(none.err.contains("--admin-token-file"), "{}", none.err);
    let nobody = ["org", "list", "--url", "http://127.0.0.1:1", "--admin-token", "x"];
    let nobody = run(&mut bare(&nobody)).await.ended(69);
    assert!(nobody.err.contains("pushroll serve"), "{}", nobody.err);
    run(&mut bare(&["org", "list", "--url", "ftp://x", "--admin-token", "x"])).await.ended(64);
    // The environment lets in as well.
    let mut command = bare(&["org", "list"]);
    command.env("PUSHROLL_URL", url).env("PUSHROLL_ADMIN__TOKEN", app.admin_token());
    run(&mut command).await.ended(0);
}

#[tokio::test]
async fn on_the_server_s_machine_its_settings_are_enough() {
    let server = a_server().start().await;
    let file = server.dir().join("pushroll.toml");
    let listen = format!("listen = \"{}\"", server.client().address());
    let text = server.settings_text().replace("listen = \"127.0.0.1:0\"", &listen);
    std::fs::write(&file, text).unwrap();
    let mut command = program();
    command.args(["app", "list", "--json"]).current_dir(server.dir());
    let apps = run(&mut command).await.json();
    assert_eq!(apps[0]["id"], server.app().id);
}

#[tokio::test]
async fn under_tls_the_server_is_known_by_its_own_certificate_and_nobody_else_is() {
    let server = a_server().under_tls().start().await;
    let file = server.dir().join("pushroll.toml");
    let listen = format!("listen = \"{}\"", server.client().address());
    let text = server.settings_text().replace("listen = \"127.0.0.1:0\"", &listen);
    let with = |certificate: &std::path::Path| {
        let key = server.tls_file("key");
        let tls = format!("[tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
        std::fs::write(&file, format!("{text}{tls}")).unwrap();
    };
    let list = async || {
        let mut command = program();
        command.args(["app", "list", "--json"]).current_dir(server.dir());
        run(&mut command).await
    };
    with(&server.tls_file("pem"));
    assert_eq!(list().await.json()[0]["id"], server.app().id);
    // Another one answers there than the settings say.
    let other = server.dir().join("other.pem");
    let certificate = server.simulator().issue_server_certificate(&["localhost"]).unwrap();
    std::fs::write(&other, certificate.cert_chain_pem).unwrap();
    with(&other);
    let refused = list().await.ended(69);
    assert!(refused.err.contains("another certificate"), "{}", refused.err);
}

#[tokio::test]
async fn a_push_certificate_is_entered_with_its_password_from_a_file() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let p12 = app.dir().join("simulator/push-certificate.p12");
    let password = app.dir().join("p12-password");
    std::fs::write(&password, format!("{}\n", pushroll_simulator::P12_PASSWORD)).unwrap();
    let update = |password: &std::path::Path| {
        let file = arg(password).to_owned();
        let words = ["app", "update", &app.id, "--p12", arg(&p12), "--p12-password-file", &file];
        words.map(str::to_owned)
    };
    let shown = operator.run(update(&password)).await.ended(0).out;
    assert!(shown.contains("by certificate until "), "{shown}");
    operator.run(["app", "check", &app.id]).await.ended(0);
    let health = operator.json(["app", "health", &app.id]).await;
    assert_eq!(health["sides"][0]["credentials"]["kind"], "certificate", "{health}");
    assert!(health["sides"][0]["credentials"]["expires_at"].is_string(), "{health}");
    std::fs::write(&password, "hunter2\n").unwrap();
    let refused = operator.run(update(&password)).await.ended(65);
    assert!(!refused.err.contains("hunter2"), "{}", refused.err);
}
