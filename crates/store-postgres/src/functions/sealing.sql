-- Documents of registrations and of callbacks in which something is sealed anew, where they are still those that were
-- read: how many it were.
create or replace function pushroll.seal_pending_anew(
  the_shard smallint, ids uuid[], were bytea[], documents bytea[]
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  sealed integer;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  update pushroll.pending as p set accepted = r.document
  from unnest(ids, were, documents) as r(id, was, document)
  where p.shard = the_shard and p.id = r.id and p.accepted = r.was;
  get diagnostics sealed = row_count;
  return sealed;
end
$body$;

create or replace function pushroll.seal_callbacks_anew(
  the_shard smallint, ids uuid[], were bytea[], documents bytea[]
) returns integer language plpgsql $SETTINGS$ as $body$
declare
  sealed integer;
begin
  perform pg_advisory_xact_lock(1886549864, the_shard);
  update pushroll.callback as c set document = r.document
  from unnest(ids, were, documents) as r(id, was, document)
  where c.shard = the_shard and c.id = r.id and c.document = r.was;
  get diagnostics sealed = row_count;
  return sealed;
end
$body$;
