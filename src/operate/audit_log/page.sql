-- A page of the audit, the newest first: $2 rows before the number $1, or the newest.
select id, at, action, outbox, letters, filter, via, operator, os_user, host, role, host(client_address) as client_address
from outflow.audit where $1::bigint is null or id < $1 order by id desc limit $2
