use std::collections::BTreeSet;
use std::path::Path;

use http::Method;

use super::*;
use crate::admin::Operation;
use crate::route::{Route, RouteName};

fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods: Vec<_> = item.as_object().unwrap().iter().collect();
        let methods = methods.into_iter().filter(|(name, _)| *name != "parameters");
        let of = |(name, told): (&String, &Value)| {
            (name.to_uppercase().parse().unwrap(), path.clone(), told.clone())
        };
        methods.map(of).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

fn filled(path: &str) -> String {
    let fill = |segment: &str| match segment.starts_with('{') {
        true => EXAMPLE_ORG.to_owned(),
        false => segment.to_owned(),
    };
    path.split('/').map(fill).collect::<Vec<_>>().join("/")
}

#[test]
fn what_is_described_is_what_is_routed() {
    let mut routed = BTreeSet::new();
    for document in [compatible_document(), admin_document()] {
        for (method, path, _) in operations(&document) {
            let path = filled(&path);
            let route = Route::of(&path);
            assert_ne!(route, Route::Nothing, "{path}");
            if let Route::Admin(rest) = route {
                assert!(Operation::of(&method, rest).is_ok(), "{method} {path}");
            }
            routed.insert(route.name().label());
        }
    }
    let all = RouteName::ALL.into_iter().filter(|name| *name != RouteName::Nothing);
    assert_eq!(routed, all.map(RouteName::label).collect());
    let admin = operations(&admin_document());
    let under_admin = admin.iter().filter(|(_, path, _)| path.starts_with("/admin/")).count();
    assert_eq!(under_admin, PLACES.len(), "each place has its own method and path");
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_which_ids_its_path_holds() {
    for document in [compatible_document(), admin_document()] {
        let all = operations(&document);
        let names: BTreeSet<&str> =
            all.iter().map(|(.., told)| told["operationId"].as_str().unwrap()).collect();
        assert_eq!(names.len(), all.len());
        for (_, path, _) in &all {
            let told = document["paths"][path]["parameters"].as_array();
            let told = told.map_or(0, Vec::len);
            assert_eq!(told, path.matches('{').count(), "{path}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    fn collect(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|field| collect(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    for document in [compatible_document(), admin_document()] {
        let mut used = BTreeSet::new();
        collect(&document, &mut used);
        for place in &used {
            let place = place.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            let place = format!("#/components/schemas/{name}");
            assert!(used.contains(&place), "{name} is used nowhere");
        }
    }
}

#[test]
fn the_documents_in_docs_are_those_that_are_served() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi");
    for (name, document) in [("api.json", compatible_document()), ("admin.json", admin_document())]
    {
        let made = serde_json::to_string_pretty(&document).unwrap() + "\n";
        let path = directory.join(name);
        if std::env::var_os("PUSHROLL_DEV_WRITE_DOCS").is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&path, made).unwrap();
            continue;
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == made,
            "write docs/openapi anew: PUSHROLL_DEV_WRITE_DOCS=1 cargo test -p pushroll-http-api --lib openapi"
        );
    }
}
