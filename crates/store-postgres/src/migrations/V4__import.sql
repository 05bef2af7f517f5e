-- The import into this database, if there ever was one: what was imported, and how far it has come. Nobody works on the
-- database before it is finished.
create table pushroll.import (
  only_one boolean primary key default true check (only_one),
  export uuid not null,
  records bigint not null,
  digest bytea not null,
  begun_at bigint not null,
  finished_at bigint
);
