-- Who changed the configuration. Bounded in number.
create table pushroll.audit (
  -- The count of changes (installation.configuration) that the change itself made: the order of commits.
  number bigint primary key,
  id uuid not null,
  -- Milliseconds since 1970.
  at bigint not null,
  org uuid,
  app uuid,
  document json not null
);
