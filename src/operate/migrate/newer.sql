-- A schema that a newer version made is left as it is: this script knows nothing of what is in it.
do $newer$
declare
  newest integer;
begin
  if to_regclass('outflow.migration') is not null then
    select max(version) into newest from outflow.migration;
    if newest > {version} then
      raise exception 'the schema outflow has version %, and this script makes version {version}; nothing was changed', newest
        using errcode = 'feature_not_supported', hint = 'run the migration of the version that made it, or of a later one';
    end if;
  end if;
end
$newer$;

