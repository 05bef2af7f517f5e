use super::{program, run};

#[tokio::test]
async fn the_settings_are_checked_whole_and_shown_with_where_they_come_from() {
    let dir = tempfile::tempdir().unwrap();
    let config = |arguments: &[&str]| {
        let mut command = program();
        command.arg("config").args(arguments).current_dir(dir.path());
        command
    };
    let file = dir.path().join("pushroll.toml");
    std::fs::write(&file, "lisen = 'x'\n[limits]\nbody_bytes = 1\n").unwrap();
    let faults = run(&mut config(&["check"])).await.ended(64).err;
    assert!(faults.contains("did you mean listen?") && faults.contains("body_bytes"), "{faults}");

    std::fs::write(&file, "listen = '127.0.0.1:9'\n[admin]\ntoken = 'hunter2-hunter2-hunter2'\n")
        .unwrap();
    let said = run(&mut config(&["check"])).await.ended(0).out;
    assert!(said.contains("2 of them"), "{said}");
    let shown = run(config(&["show"]).env("PUSHROLL_LIMITS__CONNECTIONS", "77")).await.ended(0).out;
    assert!(shown.contains("listen = \"127.0.0.1:9\"  # pushroll.toml: listen"), "{shown}");
    assert!(shown.contains("connections = 77  # PUSHROLL_LIMITS__CONNECTIONS"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let given = run(&mut config(&["show", "--given", "--json"])).await.json();
    assert_eq!(given.as_array().unwrap().len(), 2);
    let page = run(&mut config(&["reference"])).await.ended(0).out;
    assert!(page.starts_with("# Settings\n"), "{page}");
}
