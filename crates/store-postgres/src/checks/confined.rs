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

/// What Citus would refuse in a statement that changes something, also where every server has a copy of the table: its
/// router planner lets each server do the same change, so nothing in it may come out differently.
/// (`ModifyPartialQuerySupported` in its `multi_router_planner.c`.)
fn refusals(statement: &str) -> Vec<String> {
    const STABLE: [&str; 4] = ["extract", "date_part", "date_trunc", "to_char"];
    let words = words(statement);
    let verb = words.first().map_or("", String::as_str);
    if !["insert", "update", "delete"].contains(&verb) {
        return Vec::new();
    }
    let place_of = |word: &str| words.iter().position(|one| one == word);
    let mut refusals = Vec::new();
    if let Some(values) = place_of("values").filter(|_| verb == "insert")
        && words[values..].iter().any(|word| word == "select")
    {
        refusals.push("a subquery among the values of an insert");
    }
    if let Some(returning) = place_of("returning")
        && words[returning..].iter().any(|word| word == "(")
    {
        refusals.push("a function that is called for what is returned");
    }
    if let Some(conflict) = place_of("conflict")
        && words[conflict..].windows(2).any(|pair| pair[0] == "now" && pair[1] == "(")
    {
        refusals.push("the time in what is done on a conflict");
    }
    let is_column =
        |word: &String| word.contains('.') && word.starts_with(|c: char| c.is_ascii_alphabetic());
    if verb != "insert" {
        let adds_interval = words.windows(3).any(|three| {
            is_column(&three[0])
                && ["+", "-", "*"].contains(&three[1].as_str())
                && three[2] == "interval"
        });
        let calls_stable = words.windows(2).enumerate().any(|(place, pair)| {
            let mut arguments = words[place + 2..].iter().take_while(|word| *word != ")");
            STABLE.contains(&pair[0].as_str()) && pair[1] == "(" && arguments.any(is_column)
        });
        if adds_interval || calls_stable {
            refusals.push("a column in what depends on the time zone");
        }
    }
    refusals.into_iter().map(str::to_owned).collect()
}

/// The changes that are written as such in the source, beside those of [`Statements`].
fn changes_in(text: &str) -> Vec<&str> {
    const BEGIN: [&str; 3] = ["insert into pushroll.", "update pushroll.", "delete from pushroll."];
    let begins = BEGIN.iter().flat_map(|begin| text.match_indices(begin));
    begins.map(|(begin, _)| text[begin..].split(['"', ';']).next().unwrap_or_default()).collect()
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

/// Looks at every source file but those of these names, in their directories too.
fn each_source(but: &[&str], look: &mut dyn FnMut(&str, &str)) {
    fn each(dir: &Path, but: &[&str], look: &mut dyn FnMut(&str, &str)) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if but.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                each(&path, but, look);
            } else {
                look(&name, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    each(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), but, look);
}

#[test]
fn no_statement_about_sharded_tables_is_anywhere_else() {
    // Those that are checked, the one that makes the tables, and these checks.
    let but = ["functions", "statements.rs", "schema.rs", "migrations", "checks"];
    each_source(&but, &mut |name, text| {
        for table in SHARDED {
            assert!(!text.contains(&format!("pushroll.{table}")), "{name} reads {table}");
        }
    });
}

#[test]
fn citus_refuses_no_change() {
    let mut seen = 0;
    for statement in Statements::new().all() {
        assert_eq!(refusals(&statement.one), [""; 0], "{}", statement.name);
    }
    for function in functions::all(true) {
        for statement in in_function(&function.sql) {
            let statement = from_its_verb(statement);
            assert_eq!(refusals(statement), [""; 0], "{}: {statement}", function.name);
        }
    }
    // The functions are looked at above, as they are where tables are distributed.
    each_source(&["functions", "migrations", "checks"], &mut |name, text| {
        for change in changes_in(text) {
            assert_eq!(refusals(change), [""; 0], "{name}: {change}");
            seen += 1;
        }
    });
    assert!(seen > 20, "{seen} changes found in the source");
}

#[test]
fn a_change_that_citus_refuses_is_found() {
    for wrong in [
        "insert into pushroll.token (id, revoked_at) values ($1, (select a.at from pushroll.app a))",
        "insert into pushroll.node (id, seen) values ($1, now()) returning extract(epoch from now())",
        "insert into pushroll.node (id) values ($1) on conflict (id) do update set seen = now()",
        "update pushroll.pending as p set due = timestamptz 'epoch' + r.ms * interval '1 millisecond'
         from unnest($2, $3) as r(id, ms) where p.shard = $1 and p.id = r.id",
        "delete from pushroll.pending as p where p.shard = $1 and extract(epoch from p.due) > $2",
    ] {
        assert_ne!(refusals(wrong), [""; 0], "{wrong}");
    }
    for right in [
        "insert into pushroll.token (id, revoked_at) select $1, a.at from pushroll.app a",
        "insert into pushroll.node (id, seen) values ($1, now())
         on conflict (id) do update set seen = excluded.seen returning seen",
        "update pushroll.pending as p set due = to_timestamp(r.ms / 1000.0)
         from unnest($2, $3) as r(id, ms) where p.shard = $1 and p.id = r.id",
        "update pushroll.lease as l set expires = now() + seconds * interval '1 second' where l.shard = $1",
    ] {
        assert_eq!(refusals(right), [""; 0], "{right}");
    }
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
