-- Who has acted. The role and the client's address are Postgres's own knowledge.
insert into outflow.audit (action, outbox, letters, filter, os_user, host, via, operator)
values ($1, $2, $3, $4, $5, $6, $7, $8)
