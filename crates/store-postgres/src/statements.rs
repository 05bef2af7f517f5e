//! Every statement that the store sends, in one place, so that the tests can read them all.
//!
//! Those about sharded tables are written once and rendered in two shapes, like the functions: for one shard
//! (the first argument), which is all that a distributed database gets; and for rows of several shards (the
//! first argument an array beside the others), which saves plain PostgreSQL a call for each shard.

/// What a statement may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Sharded tables, within the shard that is its first argument.
    OneShard,
    /// What is not sharded.
    Configuration,
    /// Sharded tables across shards, and why that is all right.
    Maintenance(&'static str),
}

/// A statement in both of its shapes.
#[derive(Debug)]
pub(crate) struct Statement {
    #[cfg_attr(not(test), expect(dead_code, reason = "the checks tell statements by it"))]
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the checks judge by it"))]
    pub(crate) scope: Scope,
    /// For one shard.
    pub(crate) one: String,
    /// For rows of several shards.
    pub(crate) several: String,
}

macro_rules! statements {
    ($($name:ident: $scope:expr, $text:expr;)*) => {
        /// All statements.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $name: Statement,)*
        }

        impl Statements {
            pub(crate) fn new() -> Self {
                Self { $($name: Statement::new(stringify!($name), $scope, $text),)* }
            }

            /// Each of them, for those who check them.
            #[cfg(test)]
            pub(crate) fn all(&self) -> Vec<&Statement> {
                vec![$(&self.$name,)*]
            }
        }
    };
}

const EVERY_NODE_COUNTS: &str =
    "the size of the queues, in the background and never more than a twentieth of the time";
const FEW_ROWS: &str = "a row for each shard, read every few seconds";

statements! {
    accept: Scope::OneShard,
        "select pushroll.accept$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    postpone: Scope::OneShard, "select pushroll.postpone$ALL$($1, $2, $3, $4, $5)";
    finish: Scope::OneShard,
        "select pushroll.finish$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14$ROUNDS$)";
    clean_up: Scope::OneShard, "select pushroll.clean_up$ALL$($1, $2, $3, $4)";
    begin_deliveries: Scope::OneShard,
        "select pushroll.begin_deliveries$ALL$($1, $2, $3, $4, $5, $6, $7, $8)";
    end_deliveries: Scope::OneShard,
        "select pushroll.end_deliveries$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    add_hints: Scope::OneShard, "select pushroll.add_hints$ALL$($1, $2, $3, $4)";
    hold: Scope::OneShard, "select pushroll.hold$ALL$($1, $2, $3)";
    let_go: Scope::OneShard, "select pushroll.let_go$ALL$($1, $2)";
    expire: Scope::OneShard, "select pushroll.expire($1, $2, $3, $4)";
    expire_deliveries: Scope::OneShard, "select pushroll.expire_deliveries($1, $2, $3, $4)";
    purge_deliveries: Scope::OneShard, "select pushroll.purge_deliveries($1, $2, $3)";
    bring_forward: Scope::OneShard, "select pushroll.bring_forward($1, $2, $3, $4, $5)";
    purge_devices: Scope::OneShard, "select pushroll.purge_devices($1, $2, $3)";
    purge_outcomes: Scope::OneShard, "select pushroll.purge_outcomes($1, $2, $3, $4)";

    sealed_pending: Scope::OneShard,
        "select p.id, p.app, p.accepted from pushroll.pending p
         where p.shard = $1 and p.id > $2 order by p.id limit $3";
    sealed_callbacks: Scope::OneShard,
        "select c.id, c.app, c.document from pushroll.callback c
         where c.shard = $1 and c.id > $2 order by c.id limit $3";
    seal_pending_anew: Scope::OneShard,
        "select pushroll.seal_pending_anew($1, $2, $3, $4)";
    seal_callbacks_anew: Scope::OneShard,
        "select pushroll.seal_callbacks_anew($1, $2, $3, $4)";

    standings: Scope::OneShard,
        "select d.id, o.id, o.given_due, (extract(epoch from o.due - now()) * 1000)::bigint
         from unnest($SHARDS$$2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[]) with ordinality
           as r($COLUMN$id, app, user_key, token_key, n)
         left join pushroll.device d
           on d.shard $IS_SHARD$ and d.app = r.app and d.user_key = r.user_key
             and d.token_key = r.token_key
         left join lateral (
           select p.id, p.given_due, p.due
           from pushroll.pending own, pushroll.pending p
           where own.shard = $SHARD$ and own.id = r.id
             and p.shard = $SHARD$ and p.user_key = r.user_key and p.token_key = r.token_key
             and p.id < r.id and p.covered = own.covered
           order by p.id limit 1
         ) o on true
         order by r.n";
    statuses: Scope::OneShard,
        "select o.id, o.ended_at, o.code
         from unnest($SHARDS$$2::uuid[]) as r($COLUMN$id)
         join pushroll.outcome o on o.shard $IS_SHARD$ and o.id = r.id
         where o.app = $3 and o.tracked";
    lanes: Scope::OneShard,
        "select r.shard, l.app, l.platform, (extract(epoch from l.due - now()) * 1000)::bigint
         from $EACH_SHARD$
         cross join lateral (
           with recursive lane as (
             (select q.app, q.platform, q.due from pushroll.pending q
              where q.shard = $SHARD$ order by q.app, q.platform, q.due limit 1)
             union all
             select n.app, n.platform, n.due
             from lane l
             cross join lateral (
               select q.app, q.platform, q.due from pushroll.pending q
               where q.shard = $SHARD$ and (q.app, q.platform) > (l.app, l.platform)
               order by q.app, q.platform, q.due limit 1
             ) n
           )
           select app, platform, due from lane
         ) l";
    next_due: Scope::OneShard,
        "select r.shard, (extract(epoch from q.due - now()) * 1000)::bigint
         from $EACH_SHARD$
         cross join lateral (
           select q.due from pushroll.pending q
           where q.shard = $SHARD$ and q.app = $2 and q.platform = $3 and q.due > now()
           order by q.due limit 1
         ) q";
    take_due: Scope::OneShard,
        "select r.shard, p.id, p.given_due, p.accepted, p.tried,
           (extract(epoch from now()) * 1000)::bigint
         from unnest($SHARDS_OR_ONE$$2::bigint[], $3::integer[]) as r(shard, floor, look)
         cross join lateral (
           select c.id, c.due
           from (
             select q.id, q.due from pushroll.pending q
             where q.shard = $SHARD$ and q.app = $4 and q.platform = $5
               and q.due >= to_timestamp(r.floor / 1000.0)
               and q.due <= case when $6 then 'infinity' else now() end
             order by q.due, q.id limit r.look
           ) c
           where c.id not in (select unnest($7::uuid[]))
           order by c.due, c.id limit $8
         ) t
         join pushroll.pending p on p.shard $IS_SHARD$ and p.id = t.id
         order by t.due, t.id";
    callbacks: Scope::OneShard,
        "select r.shard, h.host, c.ended_at, c.id, c.app, c.code
         from $EACH_SHARD$
         cross join lateral (
           with recursive hosts as (
             (select k.host from pushroll.callback k
              where k.shard = $SHARD$ and k.host >= $2 and k.host <= $3 and k.attempt = 0
              order by k.host limit 1)
             union all
             select n.host
             from hosts h
             cross join lateral (
               select k.host from pushroll.callback k
               where k.shard = $SHARD$ and k.host > h.host and k.host <= $3 and k.attempt = 0
               order by k.host limit 1
             ) n
           )
           select host from hosts where host <> all ($4::bigint[]) limit $5
         ) h
         cross join lateral (
           select k.ended_at, k.id, k.app, k.code from pushroll.callback k
           where k.shard = $SHARD$ and k.host = h.host and k.attempt = 0
           order by k.ended_at, k.id limit $6
         ) c";
    callbacks_due_again: Scope::OneShard,
        "select r.shard, c.host, c.ended_at, c.id, c.app, c.code, c.attempt, c.first_attempt_at,
           (extract(epoch from c.due) * 1000000)::bigint
         from $EACH_SHARD$
         cross join lateral (
           select k.host, k.ended_at, k.id, k.app, k.code, k.attempt, k.first_attempt_at, k.due
           from pushroll.callback k
           where k.shard = $SHARD$ and k.attempt > 0 and k.due <= now()
             and k.host <> all ($2::bigint[])
           order by k.due, k.id limit $3
         ) c";
    deliveries: Scope::OneShard,
        "select (extract(epoch from d.noted) * 1000000)::bigint, d.id, d.attempt, d.document
         from $EACH_SHARD$
         cross join lateral (
           select k.noted, k.id, k.attempt, k.document
           from pushroll.delivery k
           where k.shard = $SHARD$ and k.app = $2 and k.at > $3
             and (k.noted, k.id, k.attempt)
               < (timestamptz 'epoch' + $4::bigint * interval '1 microsecond', $5::uuid, $6::integer)
           order by k.noted desc, k.id desc, k.attempt desc limit $7
         ) d";
    devices_of_user: Scope::OneShard,
        "select d.id, d.last_seen, d.document
         from pushroll.device d
         where d.shard = $1 and d.app = $2 and d.user_key = $3 and d.id > $4
         order by d.id limit $5";
    devices_of_app: Scope::OneShard,
        "select d.id, d.last_seen, d.document, d.user_key
         from pushroll.device d
         where d.shard = $1 and d.app = $2 and d.user_key >= $3 and (d.user_key, d.id) > ($3, $4)
         order by d.user_key, d.id limit $5";
    registrations_of_user: Scope::OneShard,
        "(select p.id, true as pending, p.app, p.platform, p.given_due, p.accepted, p.tried,
            null::boolean as tracked, null::smallint as code, null::bigint as ended_at,
            null::bytea as document, null::bytea as hint, null::bytea as callback
          from pushroll.pending p
          where p.shard = $1 and p.user_key = $2 and p.id < $3
          order by p.id desc limit $5)
         union all
         (select o.id, false, o.app, null, null, null, null,
            o.tracked, o.code, o.ended_at, o.document, o.hint, o.callback
          from pushroll.outcome o
          where o.shard = $1 and o.user_key = $2 and o.id < $3 and o.ended_at > $4
          order by o.id desc limit $5)";
    registration: Scope::OneShard,
        "select p.id, true as pending, p.app, p.platform, p.given_due, p.accepted, p.tried,
           null::boolean as tracked, null::smallint as code, null::bigint as ended_at,
           null::bytea as document, null::bytea as hint, null::bytea as callback
         from pushroll.pending p
         where p.shard = $1 and p.id = $2 and p.app = $3
         union all
         select o.id, false, o.app, null, null, null, null,
           o.tracked, o.code, o.ended_at, o.document, o.hint, o.callback
         from pushroll.outcome o
         where o.shard = $1 and o.id = $2 and o.app = $3 and o.ended_at > $4
         order by pending desc limit 1";
    shards_with_pending: Scope::OneShard,
        "select r.shard from $EACH_SHARD$
         where exists (select from pushroll.pending p where p.shard = $SHARD$ and p.app = $2)";

    // What a store is moved by: from one key to the next within a shard.
    devices_after: Scope::OneShard,
        "select d.app, d.user_key, d.token_key, d.id, d.last_seen, d.document
         from pushroll.device d
         where d.shard = $1 and (d.app, d.user_key, d.token_key) > ($2, $3, $4)
         order by d.app, d.user_key, d.token_key limit $5";
    pending_after: Scope::OneShard,
        "select p.id, p.app, p.platform, p.given_due, p.accepted, p.tried, p.covered,
           floor(extract(epoch from p.due) * 1000)::bigint
         from pushroll.pending p
         where p.shard = $1 and p.id > $2
         order by p.id limit $3";
    outcomes_after: Scope::OneShard,
        "select o.id, o.app, o.tracked, o.code, o.ended_at, o.document, o.hint, o.callback
         from pushroll.outcome o
         where o.shard = $1 and o.id > $2
         order by o.id limit $3";
    callbacks_after: Scope::OneShard,
        "select c.id, c.app, c.code, c.ended_at, c.attempt, c.first_attempt_at, c.document,
           case when c.attempt > 0 then floor(extract(epoch from c.due) * 1000)::bigint end
         from pushroll.callback c
         where c.shard = $1 and c.id > $2
         order by c.id limit $3";
    import_devices: Scope::OneShard,
        "select pushroll.import_devices$ALL$($1, $2, $3, $4, $5, $6, $7)";
    import_pending: Scope::OneShard,
        "select pushroll.import_pending$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    import_outcomes: Scope::OneShard,
        "select pushroll.import_outcomes$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    import_callbacks: Scope::OneShard,
        "select pushroll.import_callbacks$ALL$($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    import_deliveries: Scope::OneShard,
        "select pushroll.import_deliveries$ALL$($1, $2, $3, $4, $5, $6, $7)";

    count_pending: Scope::Maintenance(EVERY_NODE_COUNTS),
        "select shard, app, platform, count(*) from pushroll.pending group by shard, app, platform";
    count_callbacks: Scope::Maintenance(EVERY_NODE_COUNTS),
        "select shard, app, attempt > 0, count(*) from pushroll.callback group by 1, 2, 3";
    leases: Scope::Maintenance(FEW_ROWS),
        "select shard, holder, expires < now() from pushroll.lease order by shard";

    say_alive: Scope::Configuration,
        "insert into pushroll.node (id, name, seen, keys) values ($1, $2, now(), $3)
         on conflict (id) do update set seen = excluded.seen, keys = excluded.keys
         returning seen";
    forget_node: Scope::Configuration, "delete from pushroll.node where id = $1";
    forget_dead_nodes: Scope::Configuration,
        "delete from pushroll.node where seen < now() - interval '1 hour'";
    nodes: Scope::Configuration,
        "select id from pushroll.node where seen > now() - $1 * interval '1 second' order by id";
    live_nodes: Scope::Configuration,
        "select name, keys from pushroll.node
         where seen > now() - $1 * interval '1 second' order by name, id";
    configuration: Scope::Configuration,
        "select configuration, sealing_key from pushroll.installation";
    notify: Scope::Configuration, "select pg_notify($1, $2)";
    takes_writes: Scope::Configuration,
        "select current_setting('transaction_read_only') = 'off'";
}

impl Statement {
    fn new(name: &'static str, scope: Scope, text: &str) -> Self {
        let render = |all, shard, shards, shards_or_one, column, each, is_shard, rounds| {
            text.replace("$ALL$", all)
                .replace("$SHARDS_OR_ONE$", shards_or_one)
                .replace("$EACH_SHARD$", each)
                .replace("$SHARDS$", shards)
                .replace("$SHARD$", shard)
                .replace("$COLUMN$", column)
                .replace("$IS_SHARD$", is_shard)
                .replace("$ROUNDS$", rounds)
        };
        let one = "array[$1::smallint], ";
        let several = "$1::smallint[], ";
        Self {
            name,
            scope,
            one: render(
                "",
                "$1",
                "",
                one,
                "",
                "unnest(array[$1::smallint]) as r(shard)",
                "= $1",
                "",
            ),
            several: render(
                "_all",
                "r.shard",
                several,
                several,
                "shard, ",
                "unnest($1::smallint[]) as r(shard)",
                // As in the functions.
                "= any (array[r.shard])",
                ", $15, $16, $17",
            ),
        }
    }
}
