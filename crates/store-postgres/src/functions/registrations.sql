-- Every intention that writes, as a function. Each is made twice from the text here and in the files beside, by
-- `functions.rs`:
--
-- * for one shard, its first argument: a constant in every statement, so that Citus sends the whole call to the
--   worker that has the shard;
-- * with `_all` to its name, for rows of several shards, whose shards come as an array: one call for a whole
--   commit, on plain PostgreSQL only.
--
-- `$IS_SHARD$` is "equals the row's shard" written so that no plan reads an index from end to end (for one that is
-- in the order of the rows a planner would). A plan is kept by its connection: made while a queue is empty it could do that
-- for each call, also when the queue is full, until the table is vacuumed.
--
-- An update may call nothing with a column that is merely stable, or Citus refuses it: `to_timestamp` is immutable, adding an
-- interval to a time with a zone is not.
--
-- Everything but `accept` takes the lock of its shards first, in their order: within a shard, ends, cleanups and
-- postponements happen one after the other, each with everything in sight that was committed before it, and
-- nobody waits for anybody in a circle.

-- New registrations. One that is pending already stays as it is. Nothing is read, so no plan needs settings.
create or replace function pushroll.accept$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], platforms smallint[], user_keys uuid[], token_keys uuid[],
  dues_ms bigint[], given_dues bigint[], accepted_documents bytea[], tried_documents bytea[]
) returns void language plpgsql as $body$
begin
  insert into pushroll.pending
    (shard, id, app, platform, user_key, token_key, due, given_due, accepted, tried)
  select $SHARD$, r.id, r.app, r.platform, r.user_key, r.token_key,
    timestamptz 'epoch' + r.due_ms * interval '1 millisecond', r.given_due, r.accepted, r.tried
  from unnest($SHARDS$ids, apps, platforms, user_keys, token_keys, dues_ms, given_dues,
      accepted_documents, tried_documents)
    as r($COLUMN$id, app, platform, user_key, token_key, due_ms, given_due, accepted, tried)
  on conflict do nothing;
end
$body$;

-- Given back until they are due. Nothing happens to those that are no longer pending.
create or replace function pushroll.postpone$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], dues_ms bigint[], given_dues bigint[], tried_documents bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  $LOCK$;
  update pushroll.pending as p
  set due = to_timestamp(r.due_ms / 1000.0), given_due = r.given_due, tried = r.tried
  from unnest($SHARDS$ids, dues_ms, given_dues, tried_documents)
    as r($COLUMN$id, due_ms, given_due, tried)
  where p.shard $IS_SHARD$ and p.id = r.id;
end
$body$;

-- The ends of registrations. `endings`: 0 the provider accepted the token, 1 a duplicate, more: failed, with this
-- less 1 as the outcome's code. Returned for each: -1 was not pending, -2 no duplicate (it is still pending),
-- 6 a success whose device was stored, else the outcome's code.
--
-- Of one user no more than one is ended in a round, so that each meets what those before it left.
--
-- The same twice: for one shard in statements that Citus sends to its worker, and below for rows of several.
create or replace function pushroll.finish(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], user_keys uuid[], token_keys uuid[], endings smallint[],
  accepted_ats bigint[], device_limits integer[], device_documents bytea[],
  ended_ats bigint[], tracked_ones boolean[], outcome_documents bytea[],
  hosts bigint[], callback_documents bytea[]
) returns smallint[] language plpgsql $SETTINGS$ as $body$
declare
  rounds integer[];
  last_round integer;
  codes smallint[] := array_fill(-1::smallint, array[cardinality(ids)]);
begin
  $LOCK$;
  select array_agg(t.round order by t.n), max(t.round) into rounds, last_round
  from (
    select u.n, row_number() over (partition by u.user_key order by u.n)::integer as round
    from unnest(user_keys) with ordinality as u(user_key, n)
  ) t;
  for this_round in 1..coalesce(last_round, 0) loop
    select array_agg(
      case
        when r.round <> this_round then r.code
        when p.id is null then -1
        when r.ending > 1 then r.ending - 1
        when d.id = r.id then 0
        when d.id is not null then 1
        when r.ending = 1 then -2
        when p.covered then 0
        when (
          select count(*) from pushroll.device c
          where c.shard = $SHARD$ and c.app = r.app and c.user_key = r.user_key
        ) >= r.device_limit then 4
        else 6
      end::smallint order by r.n
    ) into codes
    from unnest($SHARDS$ids, apps, user_keys, token_keys, endings, device_limits, rounds, codes)
      with ordinality
      as r($COLUMN$id, app, user_key, token_key, ending, device_limit, round, code, n)
    left join pushroll.pending p
      on p.shard = $SHARD$ and p.id = r.id and r.round = this_round
    left join pushroll.device d
      on d.shard = $SHARD$ and d.app = r.app and d.user_key = r.user_key
        and d.token_key = r.token_key and r.round = this_round;

    insert into pushroll.device (shard, app, user_key, token_key, id, last_seen, document)
    select $SHARD$, r.app, r.user_key, r.token_key, r.id, r.accepted_at, r.document
    from unnest($SHARDS$ids, apps, user_keys, token_keys, accepted_ats, device_documents, rounds, codes)
      as r($COLUMN$id, app, user_key, token_key, accepted_at, document, round, code)
    where r.code = 6 and r.round = this_round
    on conflict do nothing;

    if 1 = any (codes) then
      update pushroll.device as d set last_seen = r.accepted_at
      from unnest($SHARDS$apps, user_keys, token_keys, endings, accepted_ats, rounds, codes)
        as r($COLUMN$app, user_key, token_key, ending, accepted_at, round, code)
      where d.shard = $SHARD$ and d.app = r.app and d.user_key = r.user_key
        and d.token_key = r.token_key and d.last_seen < r.accepted_at
        and r.code = 1 and r.ending < 2 and r.round = this_round;
    end if;

    delete from pushroll.pending as p
    using unnest($SHARDS$ids, rounds, codes) as r($COLUMN$id, round, code)
    where p.shard = $SHARD$ and p.id = r.id and r.code >= 0 and r.round = this_round;
  end loop;

  insert into pushroll.outcome as o
    (shard, id, app, user_key, ended_at, tracked, code, document)
  select $SHARD$, r.id, r.app, r.user_key, r.ended_at, r.tracked, r.code % 6, r.document
  from unnest($SHARDS$ids, apps, user_keys, ended_ats, tracked_ones, outcome_documents, codes)
    as r($COLUMN$id, app, user_key, ended_at, tracked, document, code)
  where r.code between 1 and 5 or (r.code in (0, 6) and r.tracked)
  on conflict (shard, id) do update
  set ended_at = excluded.ended_at, tracked = excluded.tracked, code = excluded.code,
    document = excluded.document;

  if cardinality(array_remove(hosts, null)) > 0 then
    insert into pushroll.callback (shard, id, app, host, code, ended_at, document)
    select $SHARD$, r.id, r.app, r.host, r.code % 6, r.ended_at, r.document
    from unnest($SHARDS$ids, apps, hosts, ended_ats, callback_documents, codes)
      as r($COLUMN$id, app, host, ended_at, document, code)
    where r.code >= 0 and r.host is not null
    on conflict do nothing;
  end if;
  return codes;
end
$body$;

-- The ends of registrations of several shards, on plain PostgreSQL: all in one statement, since of a small call most of the
-- cost is that of beginning and ending statements. The rows' rounds, the last of them, and the shards in their order come
-- from whoever calls. Older servers call the function of the same name without these, which stays where it is.
create or replace function pushroll.finish_all(
  shards smallint[], ids uuid[], apps uuid[], user_keys uuid[], token_keys uuid[], endings smallint[],
  accepted_ats bigint[], device_limits integer[], device_documents bytea[],
  ended_ats bigint[], tracked_ones boolean[], outcome_documents bytea[],
  hosts bigint[], callback_documents bytea[], rounds integer[], last_round integer, locks smallint[]
) returns smallint[] language plpgsql set enable_seqscan = off as $body$
declare
  codes smallint[];
  to_lock smallint;
  is_locked boolean;
begin
  foreach to_lock in array locks loop
    -- As an expression it is no statement.
    is_locked := pg_advisory_xact_lock($KEY$, to_lock) is not null;
  end loop;
  for this_round in 1..last_round loop
    with r as materialized (
      select u.*,
        case
          when u.round <> this_round then codes[u.n]
          when p.id is null then -1
          when u.ending > 1 then u.ending - 1
          when d.id = u.id then 0
          when d.id is not null then 1
          when u.ending = 1 then -2
          when p.covered then 0
          when (
            select count(*) from pushroll.device c
            where c.shard = u.shard and c.app = u.app and c.user_key = u.user_key
          ) >= device_limits[u.n] then 4
          else 6
        end::smallint as code
      from (
        select g.n, shards[g.n] as shard, ids[g.n] as id, apps[g.n] as app, user_keys[g.n] as user_key,
          token_keys[g.n] as token_key, endings[g.n] as ending, rounds[g.n] as round
        from generate_series(1, cardinality(ids)) as g(n)
      ) u
      -- "offset 0" keeps these from being joined in any other way than by their keys, and with the user whichever
      -- index a planner takes who sees an empty table finds a row or a few.
      left join lateral (
        select q.id, q.covered from pushroll.pending q
        where q.shard = u.shard and q.user_key = u.user_key and q.id = u.id and u.round = this_round offset 0
      ) p on true
      left join lateral (
        select q.id from pushroll.device q
        where q.shard = u.shard and q.app = u.app and q.user_key = u.user_key and q.token_key = u.token_key
          and u.round = this_round offset 0
      ) d on true
    ),
    stored as (
      insert into pushroll.device (shard, app, user_key, token_key, id, last_seen, document)
      select r.shard, r.app, r.user_key, r.token_key, r.id, accepted_ats[r.n], device_documents[r.n]
      from r
      where r.code = 6 and r.round = this_round
      on conflict do nothing
    ),
    gone as (
      delete from pushroll.pending as p
      using r
      where p.shard = any (array[r.shard]) and p.user_key = r.user_key and p.id = r.id
        and r.code >= 0 and r.round = this_round
    ),
    ended as (
      insert into pushroll.outcome as o
        (shard, id, app, user_key, ended_at, tracked, code, document)
      select r.shard, r.id, r.app, r.user_key, ended_ats[r.n], tracked_ones[r.n], r.code % 6, outcome_documents[r.n]
      from r
      where r.round = this_round and (r.code between 1 and 5 or (r.code in (0, 6) and tracked_ones[r.n]))
      on conflict (shard, id) do update
      set ended_at = excluded.ended_at, tracked = excluded.tracked, code = excluded.code,
        document = excluded.document
    )
    select array_agg(r.code order by r.n) into codes from r;

    if 1 = any (codes) then
      update pushroll.device as d set last_seen = r.accepted_at
      from unnest(shards, apps, user_keys, token_keys, endings, accepted_ats, rounds, codes)
        as r(shard, app, user_key, token_key, ending, accepted_at, round, code)
      where d.shard = any (array[r.shard]) and d.app = r.app and d.user_key = r.user_key
        and d.token_key = r.token_key and d.last_seen < r.accepted_at and r.code = 1 and r.ending < 2 and r.round = this_round;
    end if;
  end loop;

  if cardinality(array_remove(hosts, null)) > 0 then
    insert into pushroll.callback (shard, id, app, host, code, ended_at, document)
    select r.shard, r.id, r.app, r.host, r.code % 6, r.ended_at, r.document
    from unnest(shards, ids, apps, hosts, ended_ats, callback_documents, codes)
      as r(shard, id, app, host, ended_at, document, code)
    where r.code >= 0 and r.host is not null
    on conflict do nothing;
  end if;
  return codes;
end
$body$;

-- Cleanups: of one token, or of all of a user where the token's key is null. What is pending is covered first: what
-- ends afterwards leaves no device, and what has ended before has left it where the second step finds it.
create or replace function pushroll.clean_up$ALL$(
  $SHARD_ARGUMENT$, apps uuid[], user_keys uuid[], token_keys uuid[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  $LOCK$;
  update pushroll.pending as p set covered = true
  from unnest($SHARDS$user_keys, token_keys) as r($COLUMN$user_key, token_key)
  where p.shard $IS_SHARD$ and p.user_key = r.user_key
    and (r.token_key is null or p.token_key = r.token_key) and not p.covered;
  delete from pushroll.device as d
  using unnest($SHARDS$apps, user_keys, token_keys) as r($COLUMN$app, user_key, token_key)
  where d.shard $IS_SHARD$ and d.app = r.app and d.user_key = r.user_key
    and (r.token_key is null or d.token_key = r.token_key);
end
$body$;

-- Hints for the operator.
create or replace function pushroll.add_hints$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], hints bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  $LOCK$;
  update pushroll.outcome as o set hint = r.hint
  from unnest($SHARDS$ids, apps, hints) as r($COLUMN$id, app, hint)
  where o.shard $IS_SHARD$ and o.id = r.id and o.app = r.app;
end
$body$;
