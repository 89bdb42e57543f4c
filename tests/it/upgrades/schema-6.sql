-- Version 6 of the schema, made by scripts/older-schemas.sh with the SQL of commit 0b3f601.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA outflow;

ALTER SCHEMA outflow OWNER TO outflow_migrator;

CREATE FUNCTION outflow.number() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if pg_catalog.pg_current_xact_id() is null then
    raise exception 'a transaction without a number';
  end if;
  return null;
end
$$;

ALTER FUNCTION outflow.number() OWNER TO outflow_migrator;

CREATE FUNCTION outflow.number_and_wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if pg_catalog.pg_current_xact_id() is null
    or not pg_catalog.pg_try_advisory_xact_lock_shared(1869938690, tg_relid::oid::integer)
  then
    perform pg_catalog.pg_notify('outflow_' || tg_relid::oid::text, '');
  end if;
  return null;
end
$$;

ALTER FUNCTION outflow.number_and_wake() OWNER TO outflow_migrator;

CREATE FUNCTION outflow.wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  if not pg_try_advisory_xact_lock_shared(1869938690, tg_relid::oid::integer) then
    perform pg_notify('outflow_' || tg_relid::oid::text, '');
  end if;
  return null;
end
$$;

ALTER FUNCTION outflow.wake() OWNER TO outflow_migrator;

SET default_tablespace = '';

CREATE TABLE outflow.audit (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    action text NOT NULL,
    outbox text NOT NULL,
    letters bigint NOT NULL,
    filter jsonb NOT NULL,
    os_user text NOT NULL,
    host text NOT NULL,
    role text DEFAULT SESSION_USER NOT NULL,
    client_address inet DEFAULT inet_client_addr()
);

ALTER TABLE outflow.audit OWNER TO outflow_migrator;

ALTER TABLE outflow.audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME outflow.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE outflow.dead_letter (
    id bigint NOT NULL,
    outbox text NOT NULL,
    "row" text NOT NULL,
    event_id text NOT NULL,
    key text,
    type text NOT NULL,
    "time" text,
    payload bytea NOT NULL,
    headers text,
    stream text,
    reason text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    died_at timestamp with time zone DEFAULT now() NOT NULL,
    route jsonb,
    detail text,
    bytes jsonb,
    documents jsonb,
    missing text[],
    kept bigint,
    xid text,
    pending text,
    retired_at timestamp with time zone
);

ALTER TABLE outflow.dead_letter OWNER TO outflow_migrator;

ALTER TABLE outflow.dead_letter ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME outflow.dead_letter_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE outflow.member (
    number integer NOT NULL,
    relation regclass NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    mapping text NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    report jsonb
);

ALTER TABLE outflow.member OWNER TO outflow_migrator;

ALTER TABLE outflow.member ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME outflow.member_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE outflow.migration (
    version integer NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE outflow.migration OWNER TO outflow_migrator;

CREATE TABLE outflow.outbox (
    relation regclass NOT NULL,
    name text NOT NULL,
    journal uuid DEFAULT gen_random_uuid() NOT NULL,
    generation bigint DEFAULT 0 NOT NULL,
    slots integer[] DEFAULT '{}'::integer[] NOT NULL,
    mapping text DEFAULT ''::text NOT NULL,
    registered_at timestamp with time zone DEFAULT now() NOT NULL,
    unsettled jsonb DEFAULT '[]'::jsonb NOT NULL
);

ALTER TABLE outflow.outbox OWNER TO outflow_migrator;

CREATE TABLE outflow.pause (
    relation regclass NOT NULL,
    stream text DEFAULT ''::text NOT NULL,
    why text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    until timestamp with time zone,
    os_user text NOT NULL,
    host text NOT NULL,
    role text DEFAULT SESSION_USER NOT NULL,
    client_address inet DEFAULT inet_client_addr(),
    CONSTRAINT pause_since_check CHECK (((since >= '2000-01-01 00:00:00+00'::timestamp with time zone) AND (since <= '9000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT pause_until_check CHECK (((until >= '2000-01-01 00:00:00+00'::timestamp with time zone) AND (until <= '9000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT pause_why_check CHECK (((btrim(why) <> ''::text) AND (length(why) <= 500)))
);

ALTER TABLE outflow.pause OWNER TO outflow_migrator;

CREATE TABLE outflow."position" (
    relation regclass NOT NULL,
    generation bigint NOT NULL,
    member integer NOT NULL,
    batch bigint NOT NULL,
    pieces text NOT NULL,
    copied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE outflow."position" OWNER TO outflow_migrator;

CREATE TABLE outflow.witness (
    journal uuid NOT NULL,
    generation bigint NOT NULL,
    member integer NOT NULL,
    batch bigint NOT NULL
);

ALTER TABLE outflow.witness OWNER TO outflow_migrator;

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    event_type text NOT NULL,
    payload json NOT NULL,
    headers json DEFAULT '{}'::json NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.outbox OWNER TO outflow_migrator;

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

INSERT INTO outflow.audit OVERRIDING SYSTEM VALUE VALUES (1, '2026-11-21 12:00:00+00', 'discard', 'orders', 2, '{}', 'ada', 'here', 'outflow_operator', NULL);

INSERT INTO outflow.dead_letter OVERRIDING SYSTEM VALUE VALUES (1, 'orders', '141', '00000000-0000-4000-8000-000000000041', 'dead', 'Died', '2026-11-21T12:00:00Z', '\x7b226e223a20317d', '{}', 'events.dead', 'refused', 1, '2026-11-21 12:00:00+00', '{"aggregate_type": "dead"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO outflow.dead_letter OVERRIDING SYSTEM VALUE VALUES (2, 'orders', '142', '00000000-0000-4000-8000-000000000042', 'dead', 'Died', '2026-11-21T12:00:00Z', '\x7b226e223a20317d', '{}', 'events.dead', 'too_large', 1, '2026-11-21 12:00:00+00', '{"aggregate_type": "dead"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

INSERT INTO outflow.member OVERRIDING SYSTEM VALUE VALUES (7, 'public.outbox', 'gone', 4711, '0.1.0', 'stream events.{aggregate_type}; Fields; Delete; Columns { id: "id", order: "id", event_id: "event_id", key: Some("aggregate_id"), kind: "event_type", payload: "payload", headers: Some("headers"), time: Some("created_at") }; sink redis://localhost:6379/0', '2026-11-21 12:00:00+00', '{}');

INSERT INTO outflow.migration VALUES (1, '2026-11-21 12:00:00+00');
INSERT INTO outflow.migration VALUES (2, '2026-11-21 12:00:00+00');
INSERT INTO outflow.migration VALUES (3, '2026-11-21 12:00:00+00');
INSERT INTO outflow.migration VALUES (4, '2026-11-21 12:00:00+00');
INSERT INTO outflow.migration VALUES (5, '2026-11-21 12:00:00+00');
INSERT INTO outflow.migration VALUES (6, '2026-11-21 12:00:00+00');

INSERT INTO outflow.outbox VALUES ('public.outbox', 'orders', '00000000-0000-4000-8000-0000000000aa', 3, '{7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7}', 'stream events.{aggregate_type}; Fields; Delete; Columns { id: "id", order: "id", event_id: "event_id", key: Some("aggregate_id"), kind: "event_type", payload: "payload", headers: Some("headers"), time: Some("created_at") }; sink redis://localhost:6379/0', '2026-11-21 12:00:00+00', '[{"id": "32", "row": "32", "names": "{\"id\":\"id\",\"event_id\":\"event_id\"}", "reason": "a trigger", "version": null, "event_id": "00000000-0000-4000-8000-000000000032"}]');

INSERT INTO outflow.pause VALUES ('public.outbox', 'events.paused', 'maintenance', '2026-11-21 12:00:00+00', NULL, 'ada', 'here', 'outflow_operator', NULL);

INSERT INTO outflow.witness VALUES ('00000000-0000-4000-8000-0000000000aa', 3, 7, 4);

INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (7, '00000000-0000-4000-8000-000000000007', 'order', 'k1', 'Counted', '{"n": 3, "key": "k1"}', '{}', '2026-11-21 12:00:07+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (8, '00000000-0000-4000-8000-000000000008', 'order', 'k2', 'Counted', '{"n": 3, "key": "k2"}', '{}', '2026-11-21 12:00:08+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (9, '00000000-0000-4000-8000-000000000009', 'order', 'k0', 'Counted', '{"n": 3, "key": "k0"}', '{}', '2026-11-21 12:00:09+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (10, '00000000-0000-4000-8000-000000000010', 'order', 'k1', 'Counted', '{"n": 4, "key": "k1"}', '{}', '2026-11-21 12:00:10+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (11, '00000000-0000-4000-8000-000000000011', 'order', 'k2', 'Counted', '{"n": 4, "key": "k2"}', '{}', '2026-11-21 12:00:11+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (12, '00000000-0000-4000-8000-000000000012', 'order', 'k0', 'Counted', '{"n": 4, "key": "k0"}', '{}', '2026-11-21 12:00:12+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (13, '00000000-0000-4000-8000-000000000013', 'order', 'k1', 'Counted', '{"n": 5, "key": "k1"}', '{}', '2026-11-21 12:00:13+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (14, '00000000-0000-4000-8000-000000000014', 'order', 'k2', 'Counted', '{"n": 5, "key": "k2"}', '{}', '2026-11-21 12:00:14+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (15, '00000000-0000-4000-8000-000000000015', 'order', 'k0', 'Counted', '{"n": 5, "key": "k0"}', '{}', '2026-11-21 12:00:15+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (16, '00000000-0000-4000-8000-000000000016', 'order', 'k1', 'Counted', '{"n": 6, "key": "k1"}', '{}', '2026-11-21 12:00:16+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (17, '00000000-0000-4000-8000-000000000017', 'order', 'k2', 'Counted', '{"n": 6, "key": "k2"}', '{}', '2026-11-21 12:00:17+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (18, '00000000-0000-4000-8000-000000000018', 'order', 'k0', 'Counted', '{"n": 6, "key": "k0"}', '{}', '2026-11-21 12:00:18+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (19, '00000000-0000-4000-8000-000000000019', 'order', 'k1', 'Counted', '{"n": 7, "key": "k1"}', '{}', '2026-11-21 12:00:19+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (20, '00000000-0000-4000-8000-000000000020', 'order', 'k2', 'Counted', '{"n": 7, "key": "k2"}', '{}', '2026-11-21 12:00:20+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (21, '00000000-0000-4000-8000-000000000021', 'order', 'k0', 'Counted', '{"n": 7, "key": "k0"}', '{}', '2026-11-21 12:00:21+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (22, '00000000-0000-4000-8000-000000000022', 'order', 'k1', 'Counted', '{"n": 8, "key": "k1"}', '{}', '2026-11-21 12:00:22+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (23, '00000000-0000-4000-8000-000000000023', 'order', 'k2', 'Counted', '{"n": 8, "key": "k2"}', '{}', '2026-11-21 12:00:23+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (24, '00000000-0000-4000-8000-000000000024', 'order', 'k0', 'Counted', '{"n": 8, "key": "k0"}', '{}', '2026-11-21 12:00:24+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (25, '00000000-0000-4000-8000-000000000025', 'order', 'k1', 'Counted', '{"n": 9, "key": "k1"}', '{}', '2026-11-21 12:00:25+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (26, '00000000-0000-4000-8000-000000000026', 'order', 'k2', 'Counted', '{"n": 9, "key": "k2"}', '{}', '2026-11-21 12:00:26+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (27, '00000000-0000-4000-8000-000000000027', 'order', 'k0', 'Counted', '{"n": 9, "key": "k0"}', '{}', '2026-11-21 12:00:27+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (28, '00000000-0000-4000-8000-000000000028', 'order', 'k1', 'Counted', '{"n": 10, "key": "k1"}', '{}', '2026-11-21 12:00:28+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (29, '00000000-0000-4000-8000-000000000029', 'order', 'k2', 'Counted', '{"n": 10, "key": "k2"}', '{}', '2026-11-21 12:00:29+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (30, '00000000-0000-4000-8000-000000000030', 'order', 'k0', 'Counted', '{"n": 10, "key": "k0"}', '{}', '2026-11-21 12:00:30+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (31, '00000000-0000-4000-8000-000000000031', 'refused', 'k1', 'Counted', '{"n": 11, "key": "k1"}', '{}', '2026-11-21 12:00:31+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (32, '00000000-0000-4000-8000-000000000032', 'unsettled', 'k9', 'Counted', '{}', '{}', '2026-11-21 12:00:00+00');
INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES (33, '00000000-0000-4000-8000-000000000033', 'paused', 'k8', 'Counted', '{}', '{}', '2026-11-21 12:00:00+00');

SELECT pg_catalog.setval('outflow.audit_id_seq', 1, true);

SELECT pg_catalog.setval('outflow.dead_letter_id_seq', 2, true);

SELECT pg_catalog.setval('outflow.member_number_seq', 7, true);

SELECT pg_catalog.setval('public.outbox_id_seq', 33, true);

ALTER TABLE ONLY outflow.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY outflow.dead_letter
    ADD CONSTRAINT dead_letter_pkey PRIMARY KEY (id);

ALTER TABLE ONLY outflow.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (number);

ALTER TABLE ONLY outflow.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);

ALTER TABLE ONLY outflow.outbox
    ADD CONSTRAINT outbox_name_key UNIQUE (name);

ALTER TABLE ONLY outflow.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (relation);

ALTER TABLE ONLY outflow.pause
    ADD CONSTRAINT pause_pkey PRIMARY KEY (relation, stream);

ALTER TABLE ONLY outflow."position"
    ADD CONSTRAINT position_pkey PRIMARY KEY (relation, generation, member);

ALTER TABLE ONLY outflow.witness
    ADD CONSTRAINT witness_pkey PRIMARY KEY (journal, generation, member);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX dead_letter_kept ON outflow.dead_letter USING btree (outbox, kept, xid) WHERE (kept IS NOT NULL);

CREATE INDEX dead_letter_outbox_died_at ON outflow.dead_letter USING btree (outbox, died_at);

CREATE TRIGGER outflow_wake BEFORE INSERT ON public.outbox FOR EACH STATEMENT EXECUTE FUNCTION outflow.number_and_wake();

ALTER TABLE public.outbox ENABLE ALWAYS TRIGGER outflow_wake;

ALTER TABLE ONLY outflow.member
    ADD CONSTRAINT member_relation_fkey FOREIGN KEY (relation) REFERENCES outflow.outbox(relation) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA outflow TO outflow_relay;
GRANT USAGE ON SCHEMA outflow TO outflow_operator;

GRANT ALL ON SCHEMA public TO outflow_migrator;
GRANT USAGE ON SCHEMA public TO outflow_relay;
GRANT USAGE ON SCHEMA public TO outflow_operator;
GRANT USAGE ON SCHEMA public TO order_api;
GRANT USAGE ON SCHEMA public TO order_consumer;

GRANT SELECT,INSERT ON TABLE outflow.audit TO outflow_operator;

GRANT INSERT ON TABLE outflow.dead_letter TO outflow_relay;
GRANT SELECT,DELETE ON TABLE outflow.dead_letter TO outflow_operator;

GRANT SELECT(outbox) ON TABLE outflow.dead_letter TO outflow_relay;

GRANT UPDATE(retired_at) ON TABLE outflow.dead_letter TO outflow_operator;

GRANT SELECT,INSERT,DELETE ON TABLE outflow.member TO outflow_relay;
GRANT SELECT ON TABLE outflow.member TO outflow_operator;

GRANT UPDATE(report) ON TABLE outflow.member TO outflow_relay;

GRANT SELECT,UPDATE ON TABLE outflow.outbox TO outflow_relay;
GRANT SELECT ON TABLE outflow.outbox TO outflow_operator;

GRANT SELECT ON TABLE outflow.pause TO outflow_relay;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE outflow.pause TO outflow_operator;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE outflow."position" TO outflow_relay;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE outflow.witness TO outflow_relay;

GRANT SELECT,DELETE ON TABLE public.outbox TO outflow_relay;
GRANT SELECT,INSERT ON TABLE public.outbox TO outflow_operator;

GRANT UPDATE(id) ON TABLE public.outbox TO outflow_relay;

GRANT INSERT(event_id) ON TABLE public.outbox TO order_api;
GRANT INSERT(event_id) ON TABLE public.outbox TO order_consumer;

GRANT INSERT(aggregate_type) ON TABLE public.outbox TO order_api;
GRANT INSERT(aggregate_type) ON TABLE public.outbox TO order_consumer;

GRANT INSERT(aggregate_id) ON TABLE public.outbox TO order_api;
GRANT INSERT(aggregate_id) ON TABLE public.outbox TO order_consumer;

GRANT INSERT(event_type) ON TABLE public.outbox TO order_api;
GRANT INSERT(event_type) ON TABLE public.outbox TO order_consumer;

GRANT INSERT(payload) ON TABLE public.outbox TO order_api;
GRANT INSERT(payload) ON TABLE public.outbox TO order_consumer;

GRANT INSERT(headers) ON TABLE public.outbox TO order_api;
GRANT INSERT(headers) ON TABLE public.outbox TO order_consumer;

GRANT SELECT ON SEQUENCE public.outbox_id_seq TO outflow_relay;

