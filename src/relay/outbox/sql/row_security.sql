-- Whether row security may hide rows from this role or keep them from being taken: it applies, and no policy lets every row
-- pass for each of the commands, or another one restricts them.
with policy as (
  select p.polcmd, p.polpermissive, pg_catalog.pg_get_expr(p.polqual, p.polrelid) as condition
  from pg_catalog.pg_policy p
  where p.polrelid = $1::oid
    and exists (select from unnest(p.polroles) as r where r = 0 or pg_catalog.pg_has_role(current_user, r, 'usage'))
)
select
  current_user::text as role,
  exists (select from policy where not polpermissive) as is_restricted,
  pg_catalog.row_security_active($1::oid) and (
    exists (select from policy where not polpermissive)
    or exists (
      select from unnest($2::text[]) as wanted where not exists (
        select from policy
        where polpermissive and polcmd::text in ('*', wanted) and coalesce(condition, 'true') in ('true', '(true)')))
  ) as may_hide
