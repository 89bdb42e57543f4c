-- What the relay relies on in each of its sessions, beyond outflow-connect's session.sql.
-- A settled batch is durable before the journal may forget it.
set synchronous_commit = on;
set statement_timeout = '30s';
set lock_timeout = '10s';
-- A frozen relay's claims end, and so do their locks, also where another role's relay may not end them: a second after
-- Redis's time for an answer is over, for which a claim may wait, and with its seat. And when its answer is stuck in
-- the socket, so that it is not idle.
set idle_in_transaction_session_timeout = '11s';
set tcp_user_timeout = '11s';
-- Claims walk the index of the order column. Planned while the table is empty they would be seq scans, and stay so.
set enable_seqscan = off;
set enable_bitmapscan = off;
set enable_sort = off;
set enable_indexscan = on;
set enable_indexonlyscan = on;
set enable_tidscan = on;
set enable_nestloop = on;
set jit = off;
-- Planned once a session, not five times: a claim's plan does not depend on its parameters.
set plan_cache_mode = force_generic_plan;
