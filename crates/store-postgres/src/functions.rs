//! The functions of the schema: one text, rendered for one shard and for rows of several.

use aws_lc_rs::digest;

/// The text that the functions are made from. What is written in it for a shard and for several is told at its beginning.
const TEXT: &str = concat!(
    include_str!("functions/registrations.sql"),
    include_str!("functions/deliveries.sql"),
    include_str!("functions/sealing.sql"),
    include_str!("functions/upkeep.sql"),
    include_str!("functions/import.sql"),
);
/// What the advisory locks of shards are told apart by from other programs' ("push" as a number).
const LOCK: &str = "1886549864";
/// The plans of these functions are made once and kept. They must not depend on how full the tables are at that
/// moment: each row is found by an index.
const SETTINGS: &str =
    "set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off";

/// A function of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name, without the schema's.
    pub(crate) name: String,
    /// The types of its arguments.
    pub(crate) arguments: Vec<String>,
    /// The statement that makes or replaces it.
    pub(crate) sql: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    OneShard,
    Several,
}

/// All functions; those over several shards only where the tables are not distributed.
pub(crate) fn all(distributed: bool) -> Vec<Function> {
    let of_one = texts().filter(|text| !is_of_several(text));
    let mut all: Vec<_> = of_one.map(|text| render(text, Shape::OneShard)).collect();
    if !distributed {
        let of_several = texts().filter(|text| is_of_several(text) || text.contains("$ALL$"));
        all.extend(of_several.map(|text| render(text, Shape::Several)));
    }
    all
}

/// Tells one state of the functions from another.
pub(crate) fn fingerprint() -> String {
    let rendered = [TEXT, SETTINGS, LOCK].concat();
    let hash = digest::digest(&digest::SHA256, rendered.as_bytes());
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts() -> impl Iterator<Item = &'static str> {
    TEXT.split_inclusive("$body$;\n")
        .filter_map(|part| part.find("create or replace function ").map(|begin| &part[begin..]))
}

/// Whether a text is written for rows of several shards alone.
fn is_of_several(text: &str) -> bool {
    text.split('(').next().is_some_and(|head| head.ends_with("_all"))
}

fn render(text: &str, shape: Shape) -> Function {
    let (all, argument, shard, shards, column, any, is_shard, lock) = match shape {
        Shape::OneShard => (
            "",
            "the_shard smallint",
            "the_shard",
            "",
            "",
            "the_shard",
            "= the_shard",
            format!("perform pg_advisory_xact_lock({LOCK}, the_shard)"),
        ),
        Shape::Several => (
            "_all",
            "shards smallint[]",
            "r.shard",
            "shards, ",
            "shard, ",
            "any (shards)",
            "= any (array[r.shard])",
            format!(
                "perform pg_advisory_xact_lock({LOCK}, s.shard)
                 from (select distinct u.shard from unnest(shards) as u(shard) order by 1) s"
            ),
        ),
    };
    let sql = text
        .replace("$ALL$", all)
        .replace("$SHARD_ARGUMENT$", argument)
        .replace("$ANY_SHARD$", any)
        .replace("$SHARDS$", shards)
        .replace("$SHARD$", shard)
        .replace("$COLUMN$", column)
        .replace("$IS_SHARD$", is_shard)
        .replace("$LOCK$", &lock)
        .replace("$KEY$", LOCK)
        .replace("$SETTINGS$", SETTINGS);
    let head = sql.split_once("pushroll.").map_or("", |(_, head)| head);
    let (name, rest) = head.split_once('(').unwrap_or((head, ""));
    let (name, arguments) = (name.to_owned(), rest.split(')').next().unwrap_or("").to_owned());
    let type_of = |argument: &str| {
        argument.trim().split_once(' ').map_or(String::new(), |(_, of)| of.trim().to_owned())
    };
    Function { name, arguments: arguments.split(',').map(type_of).collect(), sql }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_its_shard_first() {
        let functions = all(false);
        assert!(functions.len() > 15, "{}", functions.len());
        for function in &functions {
            let first = function.arguments[0].as_str();
            let expected = if function.name.ends_with("_all") { "smallint[]" } else { "smallint" };
            assert_eq!(first, expected, "{}", function.name);
        }
    }

    #[test]
    fn nothing_of_the_template_is_left() {
        for function in all(false) {
            let rest = function.sql.replace("$body$", "");
            assert!(!rest.contains('$'), "{}: {rest}", function.name);
        }
    }

    #[test]
    fn where_tables_are_distributed_every_function_is_of_one_shard() {
        assert!(all(true).iter().all(|function| function.arguments[0] == "smallint"));
    }
}
