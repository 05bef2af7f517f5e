//! A running server is what its OpenAPI documents say: PyPI `schemathesis`, which knows nothing of this project,
//! sends what the documents allow and what they forbid, and looks at every answer. In the documents the
//! examples' ids, tokens and credentials are first replaced by those of the server, so that its requests reach
//! something.

mod install;

use std::path::PathBuf;
use std::process::Command;

use pushroll_testkit::{Receiver, TestServer, a_device, a_server};
use serde_json::{Value, json};

use install::program;

/// The same requests at every run, unless PUSHROLL_DEV_SEED names another number. With some numbers a body is refused
/// whose unknown properties differ in letter case only, as it has to be: JSON Schema has no words for that.
const SEED: &str = "20261124";
/// Requests of random data for each operation.
const EXAMPLES: &str = "25";

/// A server that takes no offence at the many requests that it is to refuse.
async fn a_patient_server() -> TestServer {
    a_server()
        .with("limits.bad_tokens_per_second", 1_000_000)
        .with("limits.bad_tokens_burst", 1_000_000)
        .with("verification.retry_base_seconds", "0.05")
        .start()
        .await
}

/// The document with everything in examples that must be real.
fn made_real(document: &str, real: &[(&str, &str)]) -> Value {
    let mut text = document.to_owned();
    for (example, value) in real {
        let written = |text: &str| json!(text).to_string().trim_matches('"').to_owned();
        assert!(text.contains(&written(example)), "{example} is in no example");
        text = text.replace(&written(example), &written(value));
    }
    serde_json::from_str(&text).expect("JSON")
}

fn names_a_callback(parameter: &Value) -> bool {
    parameter["name"].as_str().is_some_and(|name| name.ends_with("callback-url"))
}

/// Runs schemathesis by this document, with all checks but those that the configuration excuses.
async fn exercise(server: &TestServer, name: &str, document: &Value, configuration: &str) {
    let dir = server.dir().join(name);
    std::fs::create_dir_all(&dir).expect("a directory");
    let write = |file: &str, text: &str| -> PathBuf {
        let path = dir.join(file);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let configuration = write("schemathesis.toml", configuration);
    let document = write("openapi.json", &document.to_string());
    write("hooks.py", include_str!("schemathesis/hooks.py"));
    let url = format!("http://{}", server.client().address());
    let seed = std::env::var("PUSHROLL_DEV_SEED").unwrap_or_else(|_| SEED.to_owned());
    let run = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program("schemathesis"));
        command.arg("--config-file").arg(configuration).arg("run").arg(document);
        command.args(["--url", &url, "--seed", &seed]);
        command.args(["--max-examples", EXAMPLES, "--continue-on-failure", "--no-color"]);
        command.args(["--phases", "examples,coverage,fuzzing,stateful"]);
        command.current_dir(&dir).env("NO_PROXY", "*");
        command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &dir);
        command.output().expect("schemathesis")
    });
    let output = run.await.expect("no panic");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    assert!(said.contains("No issues found"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_registration_api_is_as_it_is_described() {
    let server = a_patient_server().await;
    let receiver = Receiver::start().await;
    let document = server.client().get("/api/v1.0/openapi.json").await.expect(200);
    let phone = a_device().on_ios().build();
    let tracked = a_device().on_android().stored(&server).await;
    let callback = receiver.url("/outcome");
    let mut document = made_real(
        document.text(),
        &[
            ("019a5b7c-2d00-7001-8000-000000000001", &server.org),
            ("019a5b7c-2d00-7002-8000-000000000002", &server.id),
            ("019a5b7c-2d00-7004-8000-000000000004", &tracked.id),
            ("prt_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-0001", &server.token),
            ("7b9f1c5e0a3d48629fd1b0c7e6a5943210fedcba98765432100123456789abcd", &phone.token),
            ("https://hooks.example.com/push", &callback),
        ],
    );
    for (path, item) in document["paths"].as_object_mut().expect("paths") {
        if let Some(parameters) = item.pointer_mut("/post/parameters").and_then(Value::as_array_mut)
        {
            // These headers are read only with a callback URL: no schema can say when they are refused.
            parameters.retain(|parameter| parameter["name"] != "x-ms-callback-url-headers");
            // Nobody else is called, whatever schemathesis thinks up.
            for parameter in parameters.iter_mut().filter(|one| names_a_callback(one)) {
                let only = format!("^({})?$", callback.replace('.', "\\."));
                parameter["schema"]["pattern"] = json!(only);
            }
        }
        if path.ends_with("/status") {
            item["parameters"][0]["schema"] = json!({"const": server.org});
        }
    }
    // A status query with a token that is not good is refused, however well it is written.
    let query = &mut document["components"]["schemas"]["StatusQuery"]["properties"];
    query["MobileAppId"] = json!({"const": server.id});
    query["ApiToken"] = json!({"const": server.token});
    exercise(&server, "api", &document, include_str!("schemathesis/api.toml")).await;
    // Good requests have reached the app.
    let _ = receiver.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_administration_is_as_it_is_described() {
    let server = a_patient_server().await;
    let document = server.admin_get("/openapi.json").await.expect(200);
    let tracked = a_device().on_ios().stored(&server).await;
    let other = server.another_app().await;
    let key = server.simulator().apns_key();
    let document = made_real(
        document.text(),
        &[
            ("019a5b7c-2d00-7001-8000-000000000001", &server.org),
            ("019a5b7c-2d00-7002-8000-000000000002", &server.id),
            ("019a5b7c-2d00-7003-8000-000000000003", &server.token_id),
            ("019a5b7c-2d00-7004-8000-000000000004", &tracked.id),
            ("00aa00aa-bb11-cc22-dd33-44ee44ee44ee", &tracked.device.user),
            ("-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n", &key.p8),
            ("ABC123DEFG", &key.key_id),
            ("TEAM123456", &key.team_id),
        ],
    );
    let token = server.admin_token();
    let configuration = include_str!("schemathesis/admin.toml")
        .replace("{{TOKEN}}", token)
        .replace("{{OTHER_ORG}}", &other.org)
        .replace("{{OTHER_APP}}", &other.id);
    exercise(&server, "admin", &document, &configuration).await;
}
