//! What the statements must be like, whatever they do: confined to one shard, and never reading a table from one end
//! to the other. The first is read off their text, the second off the plans that PostgreSQL makes.

mod confined;
mod plans;
