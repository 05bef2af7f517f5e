//! The APIs' own descriptions, and who is told them.

use crate::running::{Setup, running};

const COMPATIBLE: &str = "/api/v1.0/openapi.json";

#[tokio::test]
async fn whoever_calls_the_device_registration_api_may_read_its_description() {
    let server = running().await;
    let answer = server.ask("GET", COMPATIBLE, &[], "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let path = "/api/v1.0/orgs/{orgId}/pushdeviceregistration/devices/batch";
    assert!(document["paths"][path]["post"].is_object());
    assert!(!answer.body.windows(9).any(|part| part == b"/admin/v1"));
    assert_eq!(server.ask("HEAD", COMPATIBLE, &[], "").await.status, 200);
    let answer = server.ask("POST", COMPATIBLE, &[], "").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn the_administration_is_described_to_whoever_has_the_admin_token() {
    let server = running().await;
    server.ask("GET", "/admin/v1/openapi.json", &[], "").await.problem(401);
    let answer = server.admin("GET", "/openapi.json", None).await;
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert!(document["paths"]["/admin/v1/orgs/{org}/apps/{app}"]["patch"].is_object());
    assert_eq!(document["components"]["securitySchemes"]["adminToken"]["scheme"], "bearer");
}

#[tokio::test]
async fn each_description_is_where_what_it_describes_is() {
    let public = Setup { is_for_operators: false, ..Setup::default() }.run().await;
    assert_eq!(public.ask("GET", COMPATIBLE, &[], "").await.status, 200);
    public.admin("GET", "/openapi.json", None).await.problem(404);
    let own = Setup { is_public: false, ..Setup::default() }.run().await;
    assert_eq!(own.admin("GET", "/openapi.json", None).await.status, 200);
    own.ask("GET", COMPATIBLE, &[], "").await.problem(404);
}
