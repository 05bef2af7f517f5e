//! What lines look like, for ever, and what is no line.

use super::*;

/// Never change one of these: they are in somebody's file.
const GOLDEN: [&str; 13] = [
    r#"{"org":{"id":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","name":"Contoso \"Süd\"","created_at_ms":1767225600000}}"#,
    r#"{"app":{"id":"01010101-0101-0101-0101-010101010101","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","name":"Shop","description":"","sealed_webhook_secret":"AQID","created_at_ms":1,"updated_at_ms":2}}"#,
    r#"{"app":{"id":"01010101-0101-0101-0101-010101010101","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","name":"Shop","description":"d","ios":{"mode":"auto","bundle_id":"com.example","auth":{"key":{"key_id":"K","team_id":"T","sealed_p8":"AP8="}}},"android":{"project_id":"p","client_email":"e","sealed_service_account":"AA=="},"sealed_webhook_secret":"AQID","old_webhook_secret":{"sealed_secret":"BQ==","ends_at_ms":9},"callback_retries_ms":77000,"created_at_ms":1,"updated_at_ms":2,"deleted_at_ms":3}}"#,
    r#"{"app":{"id":"01010101-0101-0101-0101-010101010101","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","name":"Shop","description":"","ios":{"mode":"sandbox","bundle_id":"com.example","auth":{"certificate":{"name":"Push","topics":["com.example","com.example.voip"],"environments":"both","begins_at_ms":4,"expires_at_ms":5,"sealed_pem":"CQ=="}}},"sealed_webhook_secret":"AQID","created_at_ms":1,"updated_at_ms":2}}"#,
    r#"{"purged_app":{"id":"01010101-0101-0101-0101-010101010101"}}"#,
    r#"{"token":{"id":"02020202-0202-0202-0202-020202020202","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","app":"01010101-0101-0101-0101-010101010101","sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","name":"n","created_at_ms":1,"expires_at_ms":2,"revoked_at_ms":3}}"#,
    r#"{"device":{"id":"01923456-789a-7082-8000-0fffffffffff","app":"00000000-0000-0000-0000-000000000000","user":"profile-1","platform":"ios","token":"a0b1","environment":"production","registered_at_ms":1,"verified_at_ms":2,"last_seen_at_ms":3,"answer":{"provider":"apns","environment":"production","status":200,"reason":"accepted","detail":"d","provider_id":"8d1e"}}}"#,
    r#"{"pending":{"id":"01923456-789a-7082-8000-0fffffffffff","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","app":"00000000-0000-0000-0000-000000000000","user":"profile-1","platform":"android","token":{"present":"Fcm:x"},"authorized_by":"02020202-0202-0202-0202-020202020202","tracked":true,"callback":{"url":"https://a.example/x","host_key":"0102030405060708","signature":"c2ln","sealed_headers":"AP8="},"accepted_at_ms":1,"due_ms":2,"attempts":3,"first_attempt_at_ms":4,"last_run":"00000000000000ff","last_answer":{"provider":"fcm","reason":"timed out"},"covered":true}}"#,
    r#"{"pending":{"id":"01923456-789a-7082-8000-0fffffffffff","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","app":"00000000-0000-0000-0000-000000000000","user":"profile-1","platform":"ios","token":{"too_long":5000},"tracked":false,"accepted_at_ms":1,"due_ms":2,"attempts":0,"covered":false}}"#,
    r#"{"outcome":{"id":"01923456-789a-7082-8000-0fffffffffff","app":"00000000-0000-0000-0000-000000000000","user":"profile-1","platform":"ios","token_fingerprint":"0badf00d","token_chars":64,"tracked":false,"outcome":"DryRunSendingFailed","answer":{"provider":"apns","environment":"sandbox","status":410,"reason":"Unregistered"},"hint":"h","callback":{"result":{"delivered":204},"at_ms":1,"took_us":2},"accepted_at_ms":3,"ended_at_ms":4,"attempts":5}}"#,
    r#"{"callback":{"id":"01923456-789a-7082-8000-0fffffffffff","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","app":"00000000-0000-0000-0000-000000000000","order":{"url":"https://a.example/x","host_key":"0102030405060708","signature":"c2ln"},"outcome":"Success","ended_at_ms":1,"attempted":{"attempts":2,"first_attempt_at_ms":3,"due_ms":4}}}"#,
    r#"{"delivery":{"app":"00000000-0000-0000-0000-000000000000","place":1,"id":"01923456-789a-7082-8000-0fffffffffff","receiver":"a.example:443","outcome":"Success","attempt":2,"report":{"result":{"failed":"no"},"at_ms":1,"took_us":2},"retry_at_ms":3}}"#,
    r#"{"audit":{"place":1,"id":"01923456-789a-7082-8000-0fffffffffff","at_ms":1,"by":"admin-token 01020304","source":"2001:db8::1","action":"app.change","org":"0e0e0e0e-0e0e-0e0e-0e0e-0e0e0e0e0e0e","app":"01010101-0101-0101-0101-010101010101","token":"02020202-0202-0202-0202-020202020202","name":"Shop","fields":["ios.key"]}}"#,
];

#[test]
fn lines_of_format_1_are_read_and_written_alike_for_ever() {
    for golden in GOLDEN {
        let parsed = parse(golden.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {golden}"));
        let Parsed::Record(read) = parsed else { panic!("no record: {golden}") };
        assert_eq!(String::from_utf8(record(&read)).unwrap(), golden);
    }
    for kind in RecordKind::ALL {
        let begin = format!("{{\"{}\":", kind.name());
        assert!(GOLDEN.iter().any(|golden| golden.starts_with(&begin)), "{kind:?} has none");
    }
}

/// What is said of a line.
fn fault_of(line: &str) -> String {
    parse(line.as_bytes()).err().unwrap_or_else(|| panic!("that is a line: {line}"))
}

#[test]
fn what_is_not_known_is_refused_by_name_and_never_left_out() {
    let kind = fault_of(r#"{"telegram":{"id":1}}"#);
    assert!(kind.contains("unknown kind `telegram`"), "{kind}");
    let property = fault_of(&GOLDEN[0].replace("\"name\"", "\"colour\":\"red\",\"name\""));
    assert!(property.contains("unknown property `colour`"), "{property}");
    let missing = fault_of(r#"{"purged_app":{}}"#);
    assert!(missing.contains("missing property `id`"), "{missing}");
    let outcome = fault_of(&GOLDEN[9].replace("DryRunSendingFailed", "Lost"));
    assert!(outcome.contains("outcome"), "{outcome}");
    assert!(fault_of(&GOLDEN[6].replace("\"ios\"", "\"palm\"")).contains("platform"));
    assert!(fault_of(r#"{"org":{"id":"#).contains("cut off"));
}

#[test]
fn what_no_store_holds_is_refused() {
    // Another user than the id was made for: its rows would lie in a shard where nobody looks.
    assert!(
        fault_of(&GOLDEN[6].replace("profile-1", "profile-2")).contains("not made for this user")
    );
    let other = "01923456-789a-4082-8000-0fffffffffff";
    let v4 = GOLDEN[10].replace("01923456-789a-7082-8000-0fffffffffff", other);
    assert!(fault_of(&v4).contains("none that pushroll makes"));
    assert!(fault_of(&GOLDEN[6].replace("a0b1", "A0B1")).contains("normal form"));
    assert!(fault_of(&GOLDEN[10].replace("\"attempts\":2", "\"attempts\":0")).contains("attempts"));
    assert!(fault_of(&GOLDEN[5].replace("\"sha256\":\"cd", "\"sha256\":\"c")).contains("sha256"));
}

#[test]
fn no_fault_tells_what_is_in_a_line() {
    for wrong in [
        GOLDEN[6].replace("\"registered_at_ms\":1", "\"registered_at_ms\":\"a-token-of-somebody\""),
        GOLDEN[6].replace("\"a0b1\"", "[\"a-token-of-somebody\"]"),
        GOLDEN[6].replace("\"ios\"", "\"a-token-of-somebody\""),
        GOLDEN[2].replace("\"AP8=\"", "\"a-token-of-somebody\""),
    ] {
        let fault = fault_of(&wrong);
        assert!(!fault.contains("somebody"), "{fault}");
    }
}
