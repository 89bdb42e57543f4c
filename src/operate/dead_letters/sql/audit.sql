-- Who has acted on dead letters. The role and the client's address are Postgres's own knowledge.
insert into outflow.audit (action, outbox, letters, filter, os_user, host) values ($1, $2, $3, $4, $5, $6)
