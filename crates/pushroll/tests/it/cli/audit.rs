//! `pushroll audit`

use pushroll_testkit::a_server;

use super::{Operator, program, run};

#[tokio::test]
async fn an_operator_sees_who_changed_what_and_where_from() {
    let server = a_server().with("admin.audit_entries", 6).start().await;
    let operator = Operator::of(&server);
    operator.run(["org", "create", "Fabrikam"]).await.ended(0);
    operator.run(["app", "update", &server.id, "--name", "Store"]).await.ended(0);
    let token = operator.json(["token", "create", "Store", "--name", "back end"]).await;
    let (id, secret) = (token["id"].as_str().unwrap(), token["token"].as_str().unwrap());

    let table = operator.run(["audit"]).await.ended(0).out;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("WHEN"), "{table}");
    assert!(lines[1].contains("token.create") && lines[1].contains("back end"), "{table}");
    assert!(lines[1].contains(id) && lines[1].contains("admin-token "), "{table}");
    assert!(lines[1].contains("127.0.0.1"), "{table}");
    assert!(lines[2].contains("app.change") && lines[2].contains("name"), "{table}");
    assert!(!table.contains(secret) && !table.contains(server.admin_token()), "{table}");

    let newest = operator.json(["audit", "--limit", "1"]).await;
    assert_eq!(newest.as_array().unwrap().len(), 1);
    assert_eq!(newest[0]["token_id"], id);
    let of_org = operator.json(["audit", "--org", "Fabrikam"]).await;
    assert_eq!(of_org.as_array().unwrap().len(), 1);
    assert_eq!(of_org[0]["action"], "organization.create");
    let of_app = operator.json(["audit", "--app", "Store"]).await;
    let all_of_it = of_app.as_array().unwrap();
    assert!(all_of_it.iter().all(|entry| entry["app_id"] == server.id.as_str()), "{of_app}");
    // An app that is gone is still known by its id.
    operator.run(["app", "delete", "Store", "--yes"]).await.ended(0);
    let deleted = operator.json(["audit", "--app", &server.id]).await;
    assert_eq!(deleted[0]["action"], "app.delete");

    // The oldest are gone: the setting says how many there are.
    assert_eq!(operator.json(["audit"]).await.as_array().unwrap().len(), 6);
    run(program().args(["audit", "--limit", "0"])).await.ended(64);
}
