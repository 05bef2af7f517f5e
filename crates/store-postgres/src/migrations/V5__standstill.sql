-- What a time is called in which nobody can write: named by an export that finds nobody who may, null as soon as
-- somebody connects who may. As long as it has the same name the content is the same.
alter table pushroll.installation add column standstill bigint;
