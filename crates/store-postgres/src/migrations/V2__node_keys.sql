-- The ids of the sealing keys that a process has, the one first under which alone it writes.
alter table pushroll.node add column keys bytea not null default '';
