use pushroll_testkit::{a_device, an_app};
use serde_json::Value;

use super::{Operator, arg};

#[tokio::test]
async fn what_is_exported_can_be_imported_elsewhere() {
    let app = an_app().await;
    let operator = Operator::of(&app);
    let mut tokens = Vec::new();
    for n in 0..5 {
        let device = if n % 2 == 0 { a_device().on_ios() } else { a_device().on_android() };
        tokens.push(device.of_user(format!("user, \"{n}\"")).stored(&app).await.token.clone());
    }
    let file = app.dir().join("roll.csv");
    let said = operator.run(["device", "export", &app.id, "--output", arg(&file)]).await.ended(0);
    assert!(said.err.contains("5 devices"), "{}", said.err);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("app,user,platform,token,environment,"), "{text}");
    assert!(tokens.iter().all(|token| text.contains(token.as_str())), "{text}");
    operator.run(["device", "export", &app.id, "--output", arg(&file)]).await.ended(64);

    // Into another app of the server: the app's column would say the first, so it is left out.
    let other = an_app().beside(&app).await;
    let text = text.replace(&app.id, &other.id);
    std::fs::write(&file, text).unwrap();
    let report = operator.json(["device", "import", arg(&file)]).await;
    assert_eq!(report["registered"], 5, "{report}");

    let lines =
        operator.run(["device", "export", &other.id, "--format", "ndjson"]).await.ended(0).out;
    let devices: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(devices.len(), 5);
    assert!(devices.iter().all(|device| device["app"] == other.id));
    let ndjson = app.dir().join("roll.ndjson");
    std::fs::write(&ndjson, &lines).unwrap();
    let report = operator.json(["device", "import", arg(&ndjson)]).await;
    assert_eq!(report["already_registered"], 5, "{report}");
}
