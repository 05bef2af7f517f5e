//! Reading settings: what is taken from where, and what is said of what is wrong.

use std::time::Duration;

use super::*;

const FILE: &str = "etc/pushroll.toml";

fn parse(file: &str, environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let environment = environment.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    Settings::parse(Some((Path::new(FILE), file)), environment)
}

fn faults(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    match parse(file, environment) {
        Ok(_) => Vec::new(),
        Err(SettingsError(faults)) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[track_caller]
fn only_fault(file: &str, environment: &[(&str, &str)]) -> String {
    let faults = faults(file, environment);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

fn embedded(settings: &Settings) -> &EmbeddedStore {
    match &settings.store {
        Store::Embedded(store) => store,
        Store::Postgres(_) => panic!("the embedded store is the default"),
    }
}

#[test]
fn there_are_defaults_for_everything() {
    let settings = parse("", &[]).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(embedded(&settings).path, Path::new("./pushroll-data"));
    assert_eq!(settings.outcomes.retention, Duration::from_secs(7 * 86_400));
    assert!(matches!(settings.sealing_key, SealingKeySource::BesideTheData));
    assert!(!settings.strict_tokens);
}

#[test]
fn the_defaults_of_the_program_are_those_of_its_parts() {
    let SiblingSettings { engine, http, providers, callbacks } = Settings::default().for_siblings();
    let same = |ours: String, theirs: String| assert_eq!(ours, theirs);
    same(format!("{engine:?}"), format!("{:?}", pushroll_engine::EngineSettings::default()));
    same(format!("{http:?}"), format!("{:?}", pushroll_http_api::HttpSettings::default()));
    same(
        format!("{providers:?}"),
        format!("{:?}", pushroll_providers::ProviderSettings::default()),
    );
    same(format!("{callbacks:?}"), format!("{:?}", pushroll_webhook::CallbackSettings::default()));
    let settings = Settings::default();
    let store = settings.embedded(embedded(&settings));
    let theirs = pushroll_store_embedded::EmbeddedSettings::new("./pushroll-data");
    same(format!("{store:?}"), format!("{theirs:?}"));
}

#[test]
fn tls_wants_certificate_and_key_and_the_administration_an_address_of_its_own() {
    let settings = parse(
        "listen = '0.0.0.0:443'\n[tls]\ncertificate_file = 'a.pem'\nkey_file = 'a.key'\n\
         [admin]\nlisten = '127.0.0.1:9000'\n",
        &[("PUSHROLL_ADMIN__TLS", "false")],
    )
    .unwrap();
    let files = TlsFiles {
        certificate: "a.pem".into(),
        key: "a.key".into(),
        check_every: Duration::from_secs(10),
    };
    assert_eq!(settings.tls, Some(files));
    let listen = "127.0.0.1:9000".parse().unwrap();
    assert_eq!(settings.admin_listener, Some(AdminListener { listen, tls: false }));
    let said = only_fault("[tls]\ncertificate_file = 'a.pem'\n", &[]);
    assert!(said.contains("tls.certificate_file") && said.contains("tls.key_file"), "{said}");
    let said = only_fault("[tls]\nkey_file = 'a.pem'\n", &[]);
    assert!(said.contains("needs tls.certificate_file"), "{said}");
    let said = only_fault("listen = '127.0.0.1:8000'\n[admin]\nlisten = '127.0.0.1:8000'\n", &[]);
    assert!(said.contains("admin.listen") && said.contains("another than listen"), "{said}");
}

#[test]
fn a_proxy_is_read_and_its_password_never_shown() {
    let with = |text: &str| format!("[providers]\nproxy = '{text}'\n");
    let settings = parse(&with("http://user:s3cret@proxy.example:3128"), &[]).unwrap();
    let proxy = settings.providers.proxy.as_ref().unwrap();
    assert_eq!(proxy.to_string(), "http://proxy.example:3128");
    let SiblingSettings { providers, .. } = settings.for_siblings();
    assert!(providers.proxy.is_some());
    assert!(!format!("{settings:?} {providers:?}").contains("s3cret"));
    for wrong in ["https://user:s3cret@proxy.example", "user:s3cret@proxy.example:3128", "s3cret"] {
        let said = only_fault(&with(wrong), &[]);
        assert!(said.contains("providers.proxy") && !said.contains("s3cret"), "{said}");
        let said = only_fault("", &[("PUSHROLL_PROVIDERS__PROXY", wrong)]);
        assert!(said.contains("PUSHROLL_PROVIDERS__PROXY") && !said.contains("s3cret"), "{said}");
    }
}

#[test]
fn the_environment_goes_over_the_file() {
    let file = "listen = '127.0.0.1:1'\n[limits]\nbody_bytes = 2048\n[callbacks]\nports = [8443]\n";
    let settings = parse(
        file,
        &[
            ("PUSHROLL_LISTEN", "[::]:9"),
            ("PUSHROLL_CALLBACKS__PORTS", "81, 82"),
            ("PUSHROLL_CALLBACKS__ALLOW_RANGES", "10.0.0.0/8,::1"),
            ("PUSHROLL_VERIFICATION__PAUSED", "true"),
            ("PUSHROLL_VERIFICATION__RETRY_BASE_SECONDS", "0.25"),
            ("PUSHROLL_STORE__PATH", "/var/lib/pushroll"),
            ("PUSHROLL_ADMIN__TOKEN", "1234567890123456"),
            ("UNRELATED", "x"),
        ],
    )
    .unwrap();
    assert_eq!(settings.listen.to_string(), "[::]:9");
    assert_eq!(settings.limits.body_bytes, 2048);
    assert_eq!(settings.callbacks.ports, [81, 82]);
    let ranges: Vec<_> = settings.callbacks.allow_ranges.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.0.0.0/8", "::1/128"]);
    assert!(settings.verification.paused);
    assert_eq!(settings.verification.retry_base, Duration::from_millis(250));
    assert_eq!(embedded(&settings).path, Path::new("/var/lib/pushroll"));
    assert!(matches!(settings.admin_token, AdminTokenSource::Given(_)));
}

#[test]
fn all_faults_are_told_at_once_each_with_its_source() {
    let file = "listen = 8080\nbogus = 1\n[limits]\nbody_bytes = '1 MiB'\nconnections = 0\n\
                [log]\nformat = 'xml'\n[wrong]\nx = 1\n";
    let faults = faults(file, &[("PUSHROLL_SHUTDOWN__DEADLINE_SECONDS", "soon")]);
    for expected in [
        "etc/pushroll.toml: listen: must be an address with a port",
        "etc/pushroll.toml: bogus: there is no such setting",
        "etc/pushroll.toml: limits.body_bytes: must be a whole number from 1024 to 1073741824, not \"1 MiB\"",
        "etc/pushroll.toml: limits.connections: must be a whole number from 1 to 10000000, not 0",
        "etc/pushroll.toml: log.format: must be \"human\" or \"json\", not \"xml\"",
        "etc/pushroll.toml: wrong.x: there is no such setting",
        "PUSHROLL_SHUTDOWN__DEADLINE_SECONDS: must be a number of seconds from 0 to 3600, not \"soon\"",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}\n{faults:#?}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    for (file, meant) in [
        ("lisen = '127.0.0.1:1'", "did you mean listen?"),
        ("[limits]\nbody_byte = 2048", "did you mean limits.body_bytes?"),
        ("[limit]\nbody_bytes = 2048", "did you mean limits.body_bytes?"),
        ("[limits]\nretention_days = 3", "did you mean outcomes.retention_days?"),
        ("retention_days = 3", "did you mean outcomes.retention_days?"),
    ] {
        let fault = only_fault(file, &[]);
        assert!(fault.ends_with(meant), "{fault}");
    }
    let fault = only_fault("", &[("PUSHROLL_STORE__PTH", "/x")]);
    let expected =
        "PUSHROLL_STORE__PTH: there is no such setting; did you mean PUSHROLL_STORE__PATH?";
    assert_eq!(fault, expected);
    assert!(only_fault("xyzzy = 1", &[]).ends_with("there is no such setting"));
}

#[test]
fn contradictions_are_told() {
    for (file, expected) in [
        (
            "[sealing]\nkey = 'x'\nkey_file = '/k'",
            "sealing.key: contradicts etc/pushroll.toml: sealing.key_file: give the key or its file",
        ),
        (
            "[admin]\ntoken = '1234567890123456'\ntoken_file = '/k'",
            "admin.token: contradicts etc/pushroll.toml: admin.token_file: give the token or its file",
        ),
        ("[admin]\ntoken = 'short'", "admin.token: must have at least 16 characters"),
        (
            "[verification]\nretry_base_seconds = 90",
            "verification.retry_base_seconds: must not be more than verification.retry_longest_seconds (60)",
        ),
        (
            "[callbacks]\nunder_way = 8",
            "callbacks.under_way_per_host: must not be more than callbacks.under_way (8)",
        ),
        (
            "[limits]\nby_organization_burst = 8",
            "limits.by_organization_burst: needs limits.by_organization_per_second beside it",
        ),
    ] {
        let fault = only_fault(file, &[]);
        assert!(fault.ends_with(expected), "{fault}");
    }
}

#[test]
fn a_secret_is_never_in_a_fault_nor_in_the_settings_when_they_are_printed() {
    let fault = only_fault("[sealing]\nkey = 12345678", &[]);
    assert!(!fault.contains("12345678"), "{fault}");
    for line in [
        "token = \"hunter2",
        "token = hunter2",
        "token \"hunter2\"",
        "token = 'hunter2' 'hunter2'",
        "token = 'hunter2'\ntoken = 'hunter2'",
        "token = \"\\hunter2\"",
        "'hunter2",
        "token = [hunter2]",
    ] {
        let fault = only_fault(&format!("[admin]\n{line}"), &[]);
        assert!(fault.contains("is no TOML: line "), "{fault}");
        assert!(!fault.contains("unter2"), "{line}: {fault}");
    }
    let settings = parse("[admin]\ntoken = 'hunter2-hunter2-hunter2'", &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn a_file_that_is_no_toml_is_one_fault_that_names_the_place() {
    let fault = only_fault("listen = \n", &[]);
    assert!(fault.starts_with("etc/pushroll.toml: is no TOML: "), "{fault}");
    assert!(fault.contains("line 1"), "{fault}");
}

#[test]
fn a_table_that_is_no_table_is_told() {
    assert_eq!(only_fault("store = 5", &[]), "etc/pushroll.toml: store: must be a table: [store]");
}

#[test]
fn variables_of_others_that_begin_like_ours_are_left_alone() {
    let environment = [
        ("PUSHROLL_CONFIG", "/etc/pushroll.toml"),
        ("PUSHROLL_URL", "https://push.example.com"),
        ("PUSHROLL_SERVICE_HOST", "10.0.0.1"),
        ("PUSHROLL_SERVICE_PORT_HTTP", "80"),
        ("PUSHROLL_PORT", "tcp://10.0.0.1:80"),
        ("PUSHROLL_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("PUSHROLL_DEV_NO_INSTALL", "1"),
    ];
    assert_eq!(faults("", &environment), Vec::<String>::new());
}

#[test]
fn a_variable_of_one_word_that_is_like_no_setting_is_told_and_is_no_fault() {
    let of_others = [
        ("PUSHROLL_BIN", "/work/pushroll"),
        ("PUSHROLL_PATH", "/work"),
        ("PUSHROLL_HOME", "http://x"),
        ("PUSHROLL_TOKEN", "x"),
    ];
    let settings = parse("", &of_others).unwrap();
    let mut told = settings.foreign_variables;
    told.sort();
    let mut expected = of_others.map(|(name, _)| name);
    expected.sort();
    assert_eq!(told, expected);
    for (like_ours, meant) in [
        ("PUSHROLL_LISTN", "PUSHROLL_LISTEN"),
        ("PUSHROLL_ADMIN_TOKEN", "PUSHROLL_ADMIN__TOKEN"),
        ("PUSHROLL_STORE_PATH", "PUSHROLL_STORE__PATH"),
    ] {
        let fault = only_fault("", &[(like_ours, "x")]);
        assert_eq!(fault, format!("{like_ours}: there is no such setting; did you mean {meant}?"));
    }
    assert!(only_fault("bin = 'x'", &[]).ends_with("bin: there is no such setting"));
}

#[test]
fn every_setting_is_described_once_and_its_default_reads_back() {
    let reference = Settings::reference();
    let mut paths: Vec<_> = reference.iter().map(SettingInfo::path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), reference.len());
    for info in &reference {
        assert!(info.doc.ends_with('.'), "{}: {}", info.path(), info.doc);
        if info.default.is_empty() {
            continue;
        }
        let table =
            if info.section.is_empty() { String::new() } else { format!("[{}]\n", info.section) };
        let setting = format!("{} = {}\n", info.key, info.default);
        let file = format!("{table}{setting}");
        // A setting of the store belongs to one kind of it.
        let of_cluster = CLUSTER.replace("[store]\n", &format!("[store]\n{setting}"));
        let is_of_cluster = info.section == "store" && faults(&of_cluster, &[]).is_empty();
        assert!(is_of_cluster || faults(&file, &[]).is_empty(), "{file}: {:?}", faults(&file, &[]));
    }
}

#[test]
fn the_words_zero_and_none_do_not_mean_unlimited() {
    for key in ["connections", "in_flight_requests", "devices_per_user", "waiting_per_app"] {
        assert!(only_fault(&format!("[limits]\n{key} = 0"), &[]).contains("must be"), "{key}");
    }
}

#[test]
fn every_setting_in_force_is_told_with_where_it_was_given_but_for_secrets() {
    let variables =
        [("PUSHROLL_LIMITS__BODY_BYTES", "2048"), ("PUSHROLL_ADMIN__TOKEN", "hunter2-hunter2-")];
    let variables = variables.iter().map(|(name, text)| (name.to_string(), text.to_string()));
    let file = "listen = '[::]:9'\n";
    let parsed = Settings::parse_with_sources(Some((Path::new(FILE), file)), variables);
    let (_, effective) = parsed.unwrap();
    let of = |section: &str, key: &str| {
        let found = effective.iter().find(|one| one.section == section && one.key == key);
        let found = found.unwrap();
        (found.written.as_str(), found.source.as_deref())
    };
    assert_eq!(of("", "listen"), ("\"[::]:9\"", Some("etc/pushroll.toml: listen")));
    assert_eq!(of("limits", "body_bytes"), ("2048", Some("PUSHROLL_LIMITS__BODY_BYTES")));
    assert_eq!(of("admin", "token"), ("\"…\"", Some("PUSHROLL_ADMIN__TOKEN")));
    assert_eq!(of("limits", "connections"), ("16384", None));
    assert_eq!(of("sealing", "key"), ("", None));
    assert_eq!(effective.len(), Settings::reference().len());
}

const CLUSTER: &str = "[store]\nkind = 'postgres'\nurl = 'postgres://me:hunter2@db/roll'\n\
    [sealing]\nkey_file = 'the.key'\n[admin]\ntoken_file = 'the.token'\n";

#[test]
fn a_store_on_postgresql_needs_its_url_the_sealing_key_and_the_admin_token() {
    let settings = parse(CLUSTER, &[]).unwrap();
    let Store::Postgres(store) = &settings.store else { panic!("{:?}", settings.store) };
    assert_eq!(store.lease, Duration::from_secs(15));
    assert!(!format!("{settings:?}").contains("hunter2"));
    let fault = only_fault("[store]\nkind = 'postgres'\n", &[]);
    assert!(fault.contains("store.url"), "{fault}");
    let faults = faults("[store]\nkind = 'postgres'\nurl = 'postgres://db/roll'\n", &[]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("sealing.key_file"), "{faults:?}");
    assert!(faults[1].contains("admin.token_file"), "{faults:?}");
}

#[test]
fn settings_of_another_kind_of_store_are_refused() {
    let fault = only_fault(&CLUSTER.replace("[store]\n", "[store]\npath = 'here'\n"), &[]);
    assert!(fault.contains("store.path") && fault.contains("embedded"), "{fault}");
    let fault = only_fault("", &[("PUSHROLL_STORE__CONNECTIONS", "9")]);
    assert!(fault.contains("PUSHROLL_STORE__CONNECTIONS") && fault.contains("postgres"), "{fault}");
}

#[test]
fn a_wrong_url_of_a_database_is_told_without_its_password() {
    let fault = only_fault(&CLUSTER.replace("@db/roll", "@db:port/roll"), &[]);
    assert!(fault.contains("store.url") && !fault.contains("hunter2"), "{fault}");
}
