//! Where the server listens, and how: TLS with a certificate that is renewed, and an address of its own for
//! the administration.

use std::fs;

use http::Method;
use pushroll_testkit::{Client, a_device, a_server, eventually};
use serde_json::json;

#[tokio::test]
async fn under_tls_everything_is_spoken_in_http_1_1_and_http_2() {
    let server = a_server().under_tls().start().await;
    let _ = a_device().stored(&server).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(server.client().get(path).await.status, 200, "{path}");
        assert_eq!(server.client().get(path).over_http2().await.status, 200, "{path}");
    }
    let clear = Client::of(server.client().address()).get("/healthz").await;
    assert!(clear.problem(400).document.to_string().contains("https://"));
}

#[tokio::test]
async fn a_new_certificate_in_the_files_is_used_without_a_restart() {
    let server = a_server().under_tls().start().await;
    let before = server.client().server_certificate().await;
    server.host().renew_certificate();
    let is_new = async || (server.client().server_certificate().await != before).then_some(());
    eventually("the new certificate", is_new).await;
    let _ = a_device().stored(&server).await;
    let expiry = server.metric("pushroll_tls_certificate_expiry_timestamp_seconds", &[]).await;
    assert!(expiry > 1.8e9, "{expiry}");
}

#[tokio::test]
async fn files_that_can_not_be_used_leave_the_certificate_that_there_is() {
    let server = a_server().under_tls().start().await;
    let before = server.client().server_certificate().await;
    let key = fs::read(server.host().tls_file("key")).unwrap();
    fs::write(server.host().tls_file("key"), "half of a k").unwrap();
    let _ = a_device().stored(&server).await;
    assert_eq!(server.client().server_certificate().await, before);
    fs::remove_file(server.host().tls_file("pem")).unwrap();
    let _ = a_device().stored(&server).await;
    assert_eq!(server.client().server_certificate().await, before);
    // And what is put right is taken.
    fs::write(server.host().tls_file("key"), key).unwrap();
    server.host().renew_certificate();
    let is_new = async || (server.client().server_certificate().await != before).then_some(());
    eventually("the new certificate", is_new).await;
}

#[tokio::test]
async fn a_start_with_files_that_can_not_be_used_names_the_file_and_its_setting() {
    let server = a_server().under_tls().start().await;
    server.stop().await;
    let (pem, key) = (server.host().tls_file("pem"), server.host().tls_file("key"));
    let other = server.simulator().issue_server_certificate(&["127.0.0.1"]).unwrap().key_pem;
    for (content, words) in
        [(other.as_str(), "is not the key of the certificate"), ("no key", "holds no private key")]
    {
        fs::write(&key, content).unwrap();
        let said = server.try_to_start_again().await.unwrap_err().to_string();
        assert!(said.contains(words) && said.contains("tls.key_file"), "{said}");
        assert!(said.contains(key.to_str().unwrap()), "{said}");
    }
    fs::remove_file(&pem).unwrap();
    let said = server.try_to_start_again().await.unwrap_err().to_string();
    assert!(said.contains("can't be read") && said.contains("tls.certificate_file"), "{said}");
    server.host().renew_certificate();
    server.start_again().await;
}

#[tokio::test]
async fn with_an_address_of_its_own_administration_is_there_and_nowhere_else() {
    let server = a_server().with("admin.listen", "127.0.0.1:0").start().await;
    let (public, own) = (server.client(), server.admin_client());
    assert_ne!(public.address(), own.address());
    let _ = a_device().stored(&server).await;
    let admin_token = server.admin_token();
    for path in ["/admin/v1/orgs", "/metrics"] {
        assert_eq!(own.get(path).bearer(admin_token).await.status, 200, "{path}");
        let _ = public.get(path).bearer(admin_token).await.problem(404);
    }
    let register = format!("/api/v1.0/orgs/{}/pushdeviceregistration/devices", server.org);
    let _ = own.request(Method::POST, &register).json(&json!({})).await.problem(404);
    let _ = public.request(Method::POST, &register).json(&json!({})).await.problem(400);
    for client in [public, own] {
        assert_eq!(client.get("/healthz").await.status, 200);
        assert_eq!(client.get("/readyz").await.status, 200);
    }
    server.restart().await;
    assert_eq!(server.admin_client().get("/metrics").await.status, 200);
}

#[tokio::test]
async fn the_administration_s_own_address_speaks_tls_too_unless_it_is_told_not_to() {
    for (tls, own) in [("true", "https"), ("false", "http")] {
        let server = a_server()
            .under_tls()
            .with("admin.listen", "127.0.0.1:0")
            .with("admin.tls", tls)
            .start()
            .await;
        let plain = Client::of(server.admin_client().address()).get("/healthz").await;
        assert_eq!(plain.status, if own == "http" { 200 } else { 400 }, "{own}");
        assert_eq!(server.admin_client().get("/healthz").await.status, 200);
        assert_eq!(server.client().get("/healthz").await.status, 200);
    }
}
