-- What is paused of a table now, by the clock of the database: a pause ends by itself.
select nullif(stream, '') as stream, why, since, until, os_user, host, role
from outflow.pause
where relation = $1::oid and (until is null or until > clock_timestamp())
order by pause.stream
