-- Rows that come from another store. One that is there already came with the same part before and stays as it is.
create or replace function pushroll.import_devices$ALL$(
  $SHARD_ARGUMENT$, apps uuid[], user_keys uuid[], token_keys uuid[], ids uuid[], last_seens bigint[],
  documents bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  insert into pushroll.device (shard, app, user_key, token_key, id, last_seen, document)
  select $SHARD$, r.app, r.user_key, r.token_key, r.id, r.last_seen, r.document
  from unnest($SHARDS$apps, user_keys, token_keys, ids, last_seens, documents)
    as r($COLUMN$app, user_key, token_key, id, last_seen, document)
  on conflict do nothing;
end
$body$;

create or replace function pushroll.import_pending$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], platforms smallint[], user_keys uuid[], token_keys uuid[],
  given_dues bigint[], covered_ones boolean[], accepted_documents bytea[], tried_documents bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  insert into pushroll.pending
    (shard, id, app, platform, user_key, token_key, due, given_due, covered, accepted, tried)
  select $SHARD$, r.id, r.app, r.platform, r.user_key, r.token_key,
    timestamptz 'epoch' + r.given_due * interval '1 millisecond', r.given_due, r.covered, r.accepted, r.tried
  from unnest($SHARDS$ids, apps, platforms, user_keys, token_keys, given_dues, covered_ones,
      accepted_documents, tried_documents)
    as r($COLUMN$id, app, platform, user_key, token_key, given_due, covered, accepted, tried)
  on conflict do nothing;
end
$body$;

create or replace function pushroll.import_outcomes$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], user_keys uuid[], ended_ats bigint[], tracked_ones boolean[],
  codes smallint[], documents bytea[], hints bytea[], callbacks bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  insert into pushroll.outcome
    (shard, id, app, user_key, ended_at, tracked, code, document, hint, callback)
  select $SHARD$, r.id, r.app, r.user_key, r.ended_at, r.tracked, r.code, r.document, r.hint, r.callback
  from unnest($SHARDS$ids, apps, user_keys, ended_ats, tracked_ones, codes, documents, hints, callbacks)
    as r($COLUMN$id, app, user_key, ended_at, tracked, code, document, hint, callback)
  on conflict do nothing;
end
$body$;

create or replace function pushroll.import_callbacks$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], hosts bigint[], codes smallint[], ended_ats bigint[],
  attempts integer[], first_attempt_ats bigint[], dues_ms bigint[], documents bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  insert into pushroll.callback
    (shard, id, app, host, code, ended_at, attempt, first_attempt_at, due, document)
  select $SHARD$, r.id, r.app, r.host, r.code, r.ended_at, r.attempt, r.first_attempt_at,
    coalesce(timestamptz 'epoch' + r.due_ms * interval '1 millisecond', '-infinity'), r.document
  from unnest($SHARDS$ids, apps, hosts, codes, ended_ats, attempts, first_attempt_ats, dues_ms, documents)
    as r($COLUMN$id, app, host, code, ended_at, attempt, first_attempt_at, due_ms, document)
  on conflict do nothing;
end
$body$;

create or replace function pushroll.import_deliveries$ALL$(
  $SHARD_ARGUMENT$, apps uuid[], noted_micros bigint[], ids uuid[], attempts integer[], ats bigint[],
  documents bytea[]
) returns void language plpgsql $SETTINGS$ as $body$
begin
  insert into pushroll.delivery (shard, app, noted, id, attempt, at, document)
  select $SHARD$, r.app, timestamptz 'epoch' + r.noted * interval '1 microsecond', r.id, r.attempt, r.at, r.document
  from unnest($SHARDS$apps, noted_micros, ids, attempts, ats, documents)
    as r($COLUMN$app, noted, id, attempt, at, document)
  on conflict do nothing;
end
$body$;
