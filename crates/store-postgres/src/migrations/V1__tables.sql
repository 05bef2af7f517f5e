-- What is sharded: every row about registrations. `shard` is part of every primary key and leads every index,
-- so that each look-up and each transaction stays inside one shard. An id's shard is in the id itself.

create table pushroll.pending (
  shard smallint not null,
  id uuid not null,
  app uuid not null,
  platform smallint not null,
  -- The user of the app, and the device token of the user; null where only the token's length was kept.
  user_key uuid not null,
  token_key uuid,
  -- By the database's clock, and as it was given by a clock of its own.
  due timestamptz not null,
  given_due bigint not null,
  -- Whether a cleanup came after it: it leaves no device.
  covered boolean not null default false,
  accepted bytea not null,
  tried bytea not null,
  primary key (shard, id)
) with (
  -- Rows come and go: their places are to be found again soon, and a change is to stay on its page.
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_insert_threshold = 10000,
  autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0
);
create index pending_queue on pushroll.pending (shard, app, platform, due, id);
create index pending_user on pushroll.pending (shard, user_key, token_key, id);

create table pushroll.device (
  shard smallint not null,
  app uuid not null,
  user_key uuid not null,
  token_key uuid not null,
  -- The registration that stored it.
  id uuid not null,
  last_seen bigint not null,
  document bytea not null,
  primary key (shard, app, user_key, token_key)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);

create table pushroll.outcome (
  shard smallint not null,
  id uuid not null,
  app uuid not null,
  user_key uuid not null,
  ended_at bigint not null,
  tracked boolean not null,
  code smallint not null,
  document bytea not null,
  hint bytea,
  callback bytea,
  primary key (shard, id)
) with (
  fillfactor = 90,
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1
);
create index outcome_user on pushroll.outcome (shard, user_key, id);

create table pushroll.callback (
  shard smallint not null,
  id uuid not null,
  app uuid not null,
  host bigint not null,
  code smallint not null,
  ended_at bigint not null,
  -- How often it was attempted. One that was is kept only in an app with retries: until it is over it is handed out
  -- again when it is due, by the database's clock, unless the end of the attempt that was begun with this
  -- `again_at` is noted before.
  attempt integer not null default 0,
  first_attempt_at bigint,
  due timestamptz not null default '-infinity',
  again_at bigint,
  document bytea not null,
  primary key (shard, id)
) with (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,
  autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0
);
create index callback_host on pushroll.callback (shard, host, ended_at, id) where attempt = 0;
create index callback_retry on pushroll.callback (shard, due, id) where attempt > 0;

-- Attempts that have ended, of each app the newest, in the order in which that was noted.
create table pushroll.delivery (
  shard smallint not null,
  app uuid not null,
  noted timestamptz not null,
  id uuid not null,
  attempt integer not null,
  at bigint not null,
  document bytea not null,
  primary key (shard, app, noted, id, attempt)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1);

-- Who works on a shard, and until when by the clock of the database that holds it.
create table pushroll.lease (
  shard smallint primary key,
  holder uuid,
  expires timestamptz not null default '-infinity'
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- What is not sharded: small, read whole, changed rarely.

create table pushroll.org (
  id uuid primary key,
  document json not null
);

create table pushroll.app (
  id uuid primary key,
  org uuid not null,
  deleted_at bigint,
  -- By the database's clock; null as long as it is not deleted.
  deleted timestamptz,
  -- Nothing but its tokens' hashes is left, and it must not come back.
  purged boolean not null default false,
  document json not null
);

create table pushroll.token (
  id uuid primary key,
  app uuid not null,
  hash bytea not null unique,
  revoked_at bigint,
  document json not null
);
create index token_app on pushroll.token (app);

-- One row: what was fixed when the database was made, and what is counted.
create table pushroll.installation (
  only_one boolean primary key default true check (only_one),
  shards smallint not null,
  distributed boolean not null default false,
  -- Of the functions, which are replaced when they change.
  functions text not null default '',
  -- Of the key under which secrets are sealed.
  sealing_key bytea,
  -- Grows with every change of organizations, apps and tokens.
  configuration bigint not null default 0
);

-- The processes that are alive.
create table pushroll.node (
  id uuid primary key,
  name text not null,
  seen timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
