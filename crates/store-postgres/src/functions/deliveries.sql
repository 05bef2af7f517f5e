-- Callbacks whose attempts begin: their documents, null for one that another has begun meanwhile. Those that are kept
-- are due again at `again_ms` unless the end is noted before; of the others nothing is left that could be handed
-- out again.
create or replace function pushroll.begin_deliveries$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], attempts integer[], kept_ones boolean[],
  begun_at bigint, again_ms bigint, given_again bigint, report bytea
) returns bytea[] language plpgsql $SETTINGS$ as $body$
declare
  documents bytea[];
begin
  $LOCK$;
  select array_agg(c.document order by r.n) into documents
  from unnest($SHARDS$ids, attempts) with ordinality as r($COLUMN$id, attempt, n)
  left join pushroll.callback c on c.shard $IS_SHARD$ and c.id = r.id and c.attempt = r.attempt;
  delete from pushroll.callback as c
  using unnest($SHARDS$ids, attempts, kept_ones) as r($COLUMN$id, attempt, kept)
  where c.shard $IS_SHARD$ and c.id = r.id and c.attempt = r.attempt and not r.kept;
  update pushroll.callback as c
  set attempt = c.attempt + 1, first_attempt_at = coalesce(c.first_attempt_at, begun_at),
    due = to_timestamp(again_ms / 1000.0), again_at = given_again
  from unnest($SHARDS$ids, attempts, kept_ones) as r($COLUMN$id, attempt, kept)
  where c.shard $IS_SHARD$ and c.id = r.id and c.attempt = r.attempt and r.kept;
  update pushroll.outcome as o set callback = report
  from unnest($SHARDS$ids, documents) as r($COLUMN$id, document)
  where o.shard $IS_SHARD$ and o.id = r.id and r.document is not null;
  return documents;
end
$body$;

-- What became of attempts: with the outcomes, and in the log. One that is kept is due then, or over; but one that was
-- handed out again meanwhile stays as it is. Returned for each: whether its row is gone.
create or replace function pushroll.end_deliveries$ALL$(
  $SHARD_ARGUMENT$, ids uuid[], apps uuid[], reports bytea[], again_ats bigint[], retries_ms bigint[],
  attempts integer[], ats bigint[], documents bytea[]
) returns boolean[] language plpgsql $SETTINGS$ as $body$
declare
  gone boolean[];
begin
  $LOCK$;
  update pushroll.outcome as o set callback = r.report
  from unnest($SHARDS$ids, apps, reports) as r($COLUMN$id, app, report)
  where o.shard $IS_SHARD$ and o.id = r.id and o.app = r.app;
  insert into pushroll.delivery (shard, app, noted, id, attempt, at, document)
  select $SHARD$, r.app, now(), r.id, r.attempt, r.at, r.document
  from unnest($SHARDS$apps, ids, attempts, ats, documents) as r($COLUMN$app, id, attempt, at, document)
  on conflict do nothing;
  select array_agg(c.id is not null and r.retry_ms is null order by r.n) into gone
  from unnest($SHARDS$ids, again_ats, retries_ms) with ordinality as r($COLUMN$id, again_at, retry_ms, n)
  left join pushroll.callback c
    on c.shard $IS_SHARD$ and c.id = r.id and c.again_at = r.again_at
      -- Not in the words of the index of retries, which would be read whole.
      and c.attempt + 0 > 0;
  delete from pushroll.callback as c
  using unnest($SHARDS$ids, again_ats, retries_ms) as r($COLUMN$id, again_at, retry_ms)
  where c.shard $IS_SHARD$ and c.id = r.id and c.again_at = r.again_at and r.retry_ms is null;
  update pushroll.callback as c
  set due = to_timestamp(r.retry_ms / 1000.0), again_at = null
  from unnest($SHARDS$ids, again_ats, retries_ms) as r($COLUMN$id, again_at, retry_ms)
  where c.shard $IS_SHARD$ and c.id = r.id and c.again_at = r.again_at and r.retry_ms is not null;
  return gone;
end
$body$;
