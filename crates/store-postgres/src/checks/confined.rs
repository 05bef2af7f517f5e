//! Reads statements.

use std::path::Path;

use crate::functions;
use crate::schema::SHARDED;
use crate::statements::{Scope, Statements};

/// Words that may follow the name of a table and are no name for it.
const NO_ALIAS: [&str; 12] = [
    "where", "on", "set", "using", "order", "group", "cross", "left", "join", "limit", "select",
    "union",
];
/// Functions that answer differently from call to call. In an update on a distributed table each copy of the row
/// would get another value; Citus refuses them.
const VOLATILE: [&str; 8] = [
    "gen_random_uuid",
    "random",
    "clock_timestamp",
    "statement_timestamp",
    "timeofday",
    "nextval",
    "uuid_generate_v4",
    "txid_current",
];

/// What is wrong with a statement about sharded tables, where `shard` is the argument that confines it.
fn offences(statement: &str, shard: &str) -> Vec<String> {
    let words = words(statement);
    let text = words.join(" ");
    let mut offences = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let Some(table) = word.strip_prefix("pushroll.").filter(|table| SHARDED.contains(table))
        else {
            continue;
        };
        let after = &words[place + 1..];
        if place > 0 && words[place - 1] == "into" {
            let selected = format!("select {shard} ,");
            if !text.contains(&selected) {
                offences.push(format!("puts rows into {table} whose shard is not {shard}"));
            }
            continue;
        }
        let named = after.iter().find(|word| **word != "as");
        let alias = named.filter(|word| {
            !NO_ALIAS.contains(&word.as_str())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let alias = alias.map_or(table, String::as_str);
        if !text.contains(&format!("{alias}.shard = {shard}")) {
            offences.push(format!("reads {table} ({alias}) beyond the shard {shard}"));
        }
    }
    let locks =
        text.contains("for update") || text.contains("for share") || text.contains("for no key");
    if locks && !text.contains(&format!("shard = {shard}")) {
        offences.push("locks rows of more than one shard".to_owned());
    }
    if words.first().is_some_and(|first| first == "update") {
        let calls = words.windows(2).filter(|pair| pair[1] == "(").map(|pair| &pair[0]);
        for call in calls.filter(|call| VOLATILE.contains(&call.as_str())) {
            offences.push(format!("calls {call} in an update"));
        }
    }
    offences
}

/// Names, numbers and signs, in lower case; comments are left out.
fn words(statement: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in statement.lines() {
        let code = line.split_once("--").map_or(line, |(code, _)| code);
        let mut word = String::new();
        for c in code.chars() {
            if c.is_ascii_alphanumeric() || "_.$".contains(c) {
                word.push(c.to_ascii_lowercase());
                continue;
            }
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if !c.is_whitespace() {
                words.push(c.to_string());
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// The statements in a function.
fn in_function(sql: &str) -> Vec<&str> {
    let body = sql.split("$body$").nth(1).unwrap_or_default();
    let body = body.split_once("begin\n").map_or(body, |(_, body)| body);
    body.split(';').collect()
}

/// From the word at which the statement begins, past `if … then` and the like.
fn from_its_verb(statement: &str) -> &str {
    const VERBS: [&str; 5] = ["insert into", "update pushroll", "delete from", "select", "with "];
    let begins = VERBS.iter().filter_map(|verb| statement.find(verb));
    begins.min().map_or(statement, |begin| &statement[begin..])
}

#[test]
fn every_statement_about_sharded_tables_is_confined_to_one_shard() {
    for statement in Statements::new().all() {
        match statement.scope {
            Scope::OneShard => {
                assert_eq!(offences(&statement.one, "$1"), [""; 0], "{}", statement.name);
            }
            Scope::Configuration => {
                let is_sharded = |word: &String| {
                    word.strip_prefix("pushroll.").is_some_and(|table| SHARDED.contains(&table))
                };
                assert!(!words(&statement.one).iter().any(is_sharded), "{}", statement.name);
            }
            Scope::Maintenance(why) => assert!(why.len() > 20, "{}: say why", statement.name),
        }
    }
}

#[test]
fn every_function_is_confined_to_its_shard() {
    // What is distributed; the others are the same text for plain PostgreSQL, where there is nothing to confine to.
    for function in functions::all(true) {
        let statements = in_function(&function.sql);
        assert!(statements.len() > 1, "{} can't be read", function.name);
        for statement in statements {
            let statement = from_its_verb(statement);
            assert_eq!(offences(statement, "the_shard"), [""; 0], "{}: {statement}", function.name);
        }
    }
}

#[test]
fn no_statement_about_sharded_tables_is_anywhere_else() {
    fn look(dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Those that are checked, the one that makes the tables, and these checks.
            if ["functions", "statements.rs", "schema.rs", "migrations", "checks"]
                .contains(&name.as_str())
            {
                continue;
            }
            if path.is_dir() {
                look(&path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for table in SHARDED {
                assert!(!text.contains(&format!("pushroll.{table}")), "{name} reads {table}");
            }
        }
    }
    look(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
}

#[test]
fn a_statement_that_is_not_confined_is_found() {
    for wrong in [
        "select d.id from pushroll.device d where d.app = $2",
        "select id from pushroll.pending where id = $2",
        "select p.id from pushroll.pending p join pushroll.device d on d.id = p.id where p.shard = $1",
        "delete from pushroll.pending as p using unnest($2) as r(shard, id) where p.shard = r.shard",
        "insert into pushroll.device (shard, id) select r.shard, r.id from unnest($2) as r(shard, id)",
        "update pushroll.outcome as o set hint = $2 where o.id = $3 -- and o.shard = $1",
        "update pushroll.device d set id = gen_random_uuid() where d.shard = $1",
        "select l.shard from pushroll.lease l where l.expires < now() for update skip locked",
    ] {
        assert_ne!(offences(wrong, "$1"), [""; 0], "{wrong}");
    }
    for right in [
        "select d.id from pushroll.device d where d.shard = $1 and d.app = $2",
        "insert into pushroll.device (shard, id) select $1, r.id from unnest($2) as r(id)",
        "update pushroll.pending as p set due = now() from unnest($2) as r(id) where p.shard = $1 and p.id = r.id",
        "select pushroll.accept($1, $2)",
    ] {
        assert_eq!(offences(right, "$1"), [""; 0], "{right}");
    }
}
