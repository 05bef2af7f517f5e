//! What is in deploy/ and docs/METRICS.md fits the program: every metric that they name is one that a server
//! exports, with the labels that they use, and Prometheus takes the rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pushroll::metrics::catalogue::{self, Kind, Metric};
use pushroll::settings::Settings;
use pushroll_testkit::{Fate, Receiver, a_device, an_app, eventually};
use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    let path = repository().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// The words of a text that could be names in PromQL.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
}

/// The metric that a name in a query means: `_bucket`, `_sum` and `_count` are a histogram's.
fn metric(name: &str) -> Option<&'static Metric> {
    let of = |name: &str| catalogue::ALL.iter().find(|metric| metric.name == name);
    let series = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
    match series.and_then(of) {
        Some(histogram) => Some(histogram).filter(|metric| metric.kind == Kind::Histogram),
        // A histogram has no series of its own name.
        None => of(name).filter(|metric| metric.kind != Kind::Histogram),
    }
}

/// All queries of the dashboard, with its variables filled in.
fn queries_of_the_dashboard() -> Vec<String> {
    fn collect(value: &Value, queries: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                queries.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| collect(field, queries));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut queries = Vec::new();
    let dashboard = read("deploy/grafana/pushroll.json");
    collect(&serde_json::from_str(&dashboard).unwrap(), &mut queries);
    let filled = |query: String| {
        query.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$app", ".*")
    };
    queries.into_iter().map(filled).collect()
}

/// The queries of the alerts.
fn queries_of_the_rules() -> Vec<String> {
    let rules = read("deploy/prometheus/pushroll.rules.yml");
    let query = |rule: &str| {
        let rest = rule.split("expr:").nth(1).expect("a query");
        let end =
            ["\n        for:", "\n        labels:"].iter().filter_map(|end| rest.find(end)).min();
        rest[..end.expect("what follows the query")].to_owned()
    };
    rules.split("- alert:").skip(1).map(query).collect()
}

/// Names in a text that look like those of our metrics.
fn names(text: &str) -> impl Iterator<Item = &str> {
    words(text).filter(|word| word.starts_with("pushroll_") || word.starts_with("process_"))
}

fn promtool(arguments: &[&str]) {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/usr/bin/promtool");
    let program = if made.exists() { made } else { PathBuf::from("promtool") };
    let run = Command::new(program)
        .args(arguments)
        .current_dir(repository().join("deploy/prometheus"))
        .output()
        .unwrap_or_else(|cause| {
            panic!(
                "promtool can't be run ({cause}): `./dev test` gets it on Debian and Ubuntu; else \
                 install Prometheus, so that promtool is on the PATH"
            )
        });
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{}{}", said(&run.stdout), said(&run.stderr));
}

#[test]
fn dashboard_and_alerts_name_only_metrics_that_there_are() {
    let mut queries = queries_of_the_dashboard();
    assert!(queries.len() > 40, "{}", queries.len());
    queries.extend(queries_of_the_rules());
    for query in queries {
        for name in names(&query) {
            assert!(metric(name).is_some(), "{name} is no metric of ours, in: {query}");
        }
    }
    // What to do names histograms as a whole, too.
    for name in names(&read("deploy/prometheus/pushroll.rules.yml")) {
        let is_one = catalogue::ALL.iter().any(|metric| metric.name == name);
        assert!(is_one || metric(name).is_some(), "{name} is no metric of ours");
    }
}

#[test]
fn dashboard_shows_every_metric_but_a_sum_of_others() {
    let queries = queries_of_the_dashboard().join("\n");
    let shown: BTreeSet<_> = words(&queries).filter_map(metric).map(|metric| metric.name).collect();
    let missing: Vec<_> = catalogue::ALL
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !shown.contains(name))
        // breaker_state and callback_attempts_total say the same with more detail.
        .filter(|name| !["pushroll_breaker_open", "pushroll_callbacks_total"].contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// In `metric{label="…"}` and `by (label)` of a query there are only labels that a metric of it has.
#[test]
fn dashboard_and_alerts_use_only_labels_that_the_metrics_have() {
    let mut queries = queries_of_the_dashboard();
    queries.extend(queries_of_the_rules());
    for query in queries {
        let mut known: BTreeSet<&str> = words(&query)
            .filter_map(metric)
            .flat_map(|metric| metric.labels.iter().copied())
            .collect();
        // What Prometheus adds.
        known.extend(["instance", "job", "le"]);
        let groups = query.split("by (").skip(1).chain(query.split("on (").skip(1));
        let groups = groups.flat_map(|rest| rest.split(')').next().unwrap().split(','));
        let matchers = query.split('{').skip(1).flat_map(|rest| {
            let inside = rest.split('}').next().unwrap();
            // The name before each operator; the values are in quotes.
            inside.split('"').step_by(2).map(|part| part.trim_matches([',', ' ', '=', '~', '!']))
        });
        for label in groups.chain(matchers).map(str::trim).filter(|label| !label.is_empty()) {
            assert!(known.contains(label), "{label} is a label of no metric in: {query}");
        }
    }
}

#[test]
fn prometheus_takes_the_alerts_and_they_do_what_their_cases_say() {
    promtool(&["check", "rules", "pushroll.rules.yml"]);
    promtool(&["test", "rules", "pushroll.test.yml"]);
}

#[test]
fn prometheus_takes_the_queries_of_the_dashboard() {
    let rules: Vec<Value> = queries_of_the_dashboard()
        .iter()
        .enumerate()
        .map(|(n, query)| serde_json::json!({"record": format!("panel:{n}"), "expr": query}))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    let group = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    std::fs::write(file.path(), group.to_string()).unwrap();
    promtool(&["check", "rules", &file.path().to_string_lossy()]);
}

/// A name in backticks that looks like a setting is one, in the pages and in what the alerts say to do.
#[test]
fn the_settings_that_pages_and_alerts_name_exist() {
    // Of an app, not of the settings.
    const EXCEPT: [&str; 1] = ["callbacks.retries"];
    let known: BTreeSet<String> =
        Settings::reference().iter().map(|setting| setting.path()).collect();
    let tables: BTreeSet<&str> = known.iter().filter_map(|path| path.split('.').next()).collect();
    let files =
        ["docs/OPERATIONS.md", "docs/TROUBLESHOOTING.md", "deploy/prometheus/pushroll.rules.yml"];
    let mut named = 0;
    for file in files {
        let text = read(file);
        for word in text.split('`').skip(1).step_by(2) {
            let name = word.split([' ', '=']).next().unwrap();
            let Some((table, key)) = name.split_once('.') else { continue };
            let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if tables.contains(table) && is_key && key != "key" && !EXCEPT.contains(&name) {
                assert!(known.contains(name), "{file} names {name}, which is no setting");
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn every_alert_has_a_severity_and_says_what_to_do_and_so_does_the_page_of_symptoms() {
    let rules = read("deploy/prometheus/pushroll.rules.yml");
    let page = read("docs/TROUBLESHOOTING.md");
    let headings: String = page.lines().filter(|line| line.starts_with("## ")).collect();
    for rule in rules.split("- alert:").skip(1) {
        let severity = rule.contains("severity: page") || rule.contains("severity: ticket");
        assert!(severity, "{rule}");
        assert!(rule.contains("summary: ") && rule.contains("runbook: "), "{rule}");
        let name = rule.lines().next().unwrap().trim();
        assert!(words(&headings).any(|word| word == name), "no heading of {name}");
    }
}

/// The names that the parts' sources hold are those of the catalogue.
#[test]
fn every_metric_that_the_parts_count_is_in_the_catalogue_and_no_other() {
    let mut counted = BTreeSet::new();
    for source in sources(&repository().join("crates")) {
        let text = std::fs::read_to_string(&source).unwrap();
        for literal in text.split('"').skip(1).step_by(2) {
            let is_ours = literal.starts_with("pushroll_") || literal.starts_with("process_");
            if is_ours && words(literal).count() == 1 {
                counted.insert(literal.to_owned());
            }
        }
    }
    let known: BTreeSet<_> = catalogue::ALL.iter().map(|metric| metric.name.to_owned()).collect();
    let unknown: Vec<_> = counted.difference(&known).collect();
    let nowhere: Vec<_> = known.difference(&counted).collect();
    assert!(
        unknown.is_empty() && nowhere.is_empty(),
        "give these a line in crates/pushroll/src/metrics/catalogue.rs: {unknown:?}; and take these \
         out, which nothing counts: {nowhere:?}"
    );
}

/// The source files that may count something.
fn sources(crates: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = std::fs::read_dir(crates)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("testkit") && !path.ends_with("bench"))
        .map(|path| path.join("src"))
        .collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "rs")
            && !path.ends_with("metrics/catalogue.rs")
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_page_of_metrics_is_written_from_the_catalogue() {
    let page = catalogue::page();
    let file = repository().join("docs/METRICS.md");
    if std::env::var_os("PUSHROLL_DEV_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == page,
        "write docs/METRICS.md anew: PUSHROLL_DEV_WRITE_DOCS=1 ./dev test deploy"
    );
}

/// A server that was busy shows what the catalogue says, with its labels.
#[tokio::test]
async fn a_server_exports_the_metrics_of_the_catalogue() {
    let app = an_app().await;
    let receiver = Receiver::start().await;
    for device in [a_device().on_ios(), a_device().on_android()] {
        let phone = device.build();
        let registered = app.register_calling(&phone, &receiver.url("/hook")).await;
        app.status_of(&registered).await;
        receiver.callback_of(&registered.id).await;
    }
    let dead = a_device().on_ios().with_fate(Fate::Dead).registered(&app).await;
    app.status_of(&dead).await;
    let _ = app.client().get("/admin/v1/orgs").bearer("a guess").await.problem(401);
    // Nothing brings these about at will, or only with settings of their own or the cluster store.
    const SELDOM: [&str; 12] = [
        "pushroll_store_shards_held",
        "pushroll_store_nodes",
        "pushroll_apns_certificate_expiry_timestamp_seconds",
        "pushroll_tls_certificate_expiry_timestamp_seconds",
        "pushroll_http_tls_failures_total",
        "pushroll_callback_retries_total",
        "pushroll_throttled_total",
        "pushroll_http_timeouts_total",
        "pushroll_wrong_environment_total",
        "pushroll_provider_connections_closed_total",
        "pushroll_trace_spans_sent_total",
        "pushroll_trace_spans_dropped_total",
    ];
    let wanted = catalogue::ALL.iter().filter(|metric| !SELDOM.contains(&metric.name));
    let wanted: Vec<&Metric> = wanted.collect();
    let text = eventually("all metrics", async || {
        let text = app.client().get("/metrics").await.text().to_owned();
        let missing = wanted.iter().find(|m| !text.contains(&format!("# TYPE {} ", m.name)));
        match missing {
            None => Some(text),
            Some(missing) => {
                eprintln!("{} is not there", missing.name);
                None
            }
        }
    })
    .await;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, rest) = line.split_at(end);
        let Some(metric) = metric(name) else { panic!("{name} is not in the catalogue") };
        let labels = rest.strip_prefix('{').map_or("", |rest| rest.rsplit_once('}').unwrap().0);
        let labels: Vec<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(labels, metric.labels, "{line}");
    }
}
