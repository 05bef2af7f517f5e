-- Takes shards, or keeps them: which of these are the node's now.
create or replace function pushroll.hold$ALL$(
  $SHARD_ARGUMENT$, node uuid, lease_seconds double precision
) returns smallint[] language plpgsql $SETTINGS$ as $body$
begin
  update pushroll.lease as l
  set holder = node, expires = now() + lease_seconds * interval '1 second'
  where l.shard = $ANY_SHARD$ and (l.holder = node or l.expires < now());
  return array(
    select l.shard from pushroll.lease l
    where l.shard = $ANY_SHARD$ and l.holder = node and l.expires >= now()
  );
end
$body$;

-- Lets others have shards at once.
create or replace function pushroll.let_go$ALL$($SHARD_ARGUMENT$, node uuid)
returns void language plpgsql $SETTINGS$ as $body$
begin
  update pushroll.lease as l set holder = null, expires = '-infinity'
  where l.shard = $ANY_SHARD$ and l.holder = node;
end
$body$;

-- Drops outcomes of before `over_before`, at most so many: how many it were. Ids begin with the time at which they
-- were made, which is before their end: those from `made_before` on can't be over.
create or replace function pushroll.expire(
  the_shard smallint, over_before bigint, made_before uuid, at_most integer
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  dropped integer;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  delete from pushroll.outcome as o
  where o.shard = the_shard and o.id = any (array(
    select x.id from pushroll.outcome x
    where x.shard = the_shard and x.id < made_before and x.ended_at <= over_before
    order by x.id limit at_most
  ));
  get diagnostics dropped = row_count;
  return dropped;
end
$body$;

-- Removes devices of a deleted app, at most so many: how many it were; none while a registration is pending.
create or replace function pushroll.purge_devices(
  the_shard smallint, of_app uuid, at_most integer
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  removed integer;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  delete from pushroll.device as d
  where d.shard = the_shard and d.app = of_app and (d.user_key, d.token_key) in (
    select x.user_key, x.token_key from pushroll.device x
    where x.shard = the_shard and x.app = of_app
    order by x.user_key, x.token_key limit at_most
  );
  get diagnostics removed = row_count;
  return removed;
end
$body$;

-- Removes outcomes of a deleted app among the next so many ids: the last id looked at, null at the end.
create or replace function pushroll.purge_outcomes(
  the_shard smallint, of_app uuid, after uuid, at_most integer
) returns uuid language plpgsql $SETTINGS$ as $body$
declare
  looked_at uuid[];
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  looked_at := array(
    select x.id from pushroll.outcome x
    where x.shard = the_shard and x.id > after order by x.id limit at_most
  );
  delete from pushroll.outcome as o
  where o.shard = the_shard and o.id = any (looked_at) and o.app = of_app;
  return looked_at[at_most];
end
$body$;

-- Drops entries of the log of before `over_before`, and of each app those beyond the newest so many, at most so many
-- at once: how many it were.
create or replace function pushroll.expire_deliveries(
  the_shard smallint, over_before bigint, newest bigint, at_most integer
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  of_app uuid;
  dropped integer;
  all_dropped integer := 0;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  of_app := (
    select x.app from pushroll.delivery x where x.shard = the_shard order by x.app limit 1
  );
  while of_app is not null and all_dropped < at_most loop
    delete from pushroll.delivery as d
    where d.shard = the_shard and d.app = of_app and d.at <= over_before
      and (d.noted, d.id, d.attempt) in (
        select x.noted, x.id, x.attempt from pushroll.delivery x
        where x.shard = the_shard and x.app = of_app
        order by x.noted, x.id, x.attempt limit at_most
      );
    get diagnostics dropped = row_count;
    all_dropped := all_dropped + dropped;
    delete from pushroll.delivery as d
    where d.shard = the_shard and d.app = of_app
      and (d.noted, d.id, d.attempt) in (
        select x.noted, x.id, x.attempt from pushroll.delivery x
        where x.shard = the_shard and x.app = of_app
        order by x.noted desc, x.id desc, x.attempt desc offset newest limit at_most
      );
    get diagnostics dropped = row_count;
    all_dropped := all_dropped + dropped;
    of_app := (
      select x.app from pushroll.delivery x
      where x.shard = the_shard and x.app > of_app order by x.app limit 1
    );
  end loop;
  return all_dropped;
end
$body$;

-- Removes the log of a deleted app, at most so many entries: how many it were.
create or replace function pushroll.purge_deliveries(
  the_shard smallint, of_app uuid, at_most integer
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  removed integer;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  delete from pushroll.delivery as d
  where d.shard = the_shard and d.app = of_app
    and (d.noted, d.id, d.attempt) in (
      select x.noted, x.id, x.attempt from pushroll.delivery x
      where x.shard = the_shard and x.app = of_app
      order by x.noted, x.id, x.attempt limit at_most
    );
  get diagnostics removed = row_count;
  return removed;
end
$body$;

-- Makes due now what is due later than anything can be, at most so many: how many it were.
create or replace function pushroll.bring_forward(
  the_shard smallint, registration_ms bigint, callback_ms bigint, given_now bigint, at_most integer
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  lane record;
  moved integer;
  all_moved integer := 0;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  select x.app, x.platform into lane from pushroll.pending x
  where x.shard = the_shard order by x.app, x.platform limit 1;
  while lane.app is not null and all_moved < at_most loop
    update pushroll.pending as p set due = now(), given_due = given_now
    where p.shard = the_shard and p.id = any (array(
      select x.id from pushroll.pending x
      where x.shard = the_shard and x.app = lane.app and x.platform = lane.platform
        and x.due > now() + registration_ms * interval '1 millisecond'
      limit at_most
    ));
    get diagnostics moved = row_count;
    all_moved := all_moved + moved;
    select x.app, x.platform into lane from pushroll.pending x
    where x.shard = the_shard and (x.app, x.platform) > (lane.app, lane.platform)
    order by x.app, x.platform limit 1;
  end loop;
  update pushroll.callback as c set due = now()
  where c.shard = the_shard and c.attempt > 0 and c.id = any (array(
    select x.id from pushroll.callback x
    where x.shard = the_shard and x.attempt > 0
      and x.due > now() + callback_ms * interval '1 millisecond'
    limit at_most
  ));
  get diagnostics moved = row_count;
  return all_moved + moved;
end
$body$;
