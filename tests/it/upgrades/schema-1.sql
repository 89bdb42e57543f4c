-- Version 1 of the schema, made by scripts/older-schemas.sh with the SQL of commit c9011b5.

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
    died_at timestamp with time zone DEFAULT now() NOT NULL
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
    started_at timestamp with time zone DEFAULT now() NOT NULL
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
    registered_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE outflow.outbox OWNER TO outflow_migrator;

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
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

INSERT INTO outflow.dead_letter OVERRIDING SYSTEM VALUE VALUES (1, 'orders', '141', '00000000-0000-4000-8000-000000000041', 'dead', 'Died', '2026-11-21T12:00:00Z', '\x7b226e223a20317d', '{}', 'events.dead', 'refused', 1, '2026-11-21 12:00:00+00');
INSERT INTO outflow.dead_letter OVERRIDING SYSTEM VALUE VALUES (2, 'orders', '142', '00000000-0000-4000-8000-000000000042', 'dead', 'Died', '2026-11-21T12:00:00Z', '\x7b226e223a20317d', '{}', 'events.dead', 'too_large', 1, '2026-11-21 12:00:00+00');

INSERT INTO outflow.member OVERRIDING SYSTEM VALUE VALUES (7, 'public.outbox', 'gone', 4711, '0.1.0', '2026-11-21 12:00:00+00');

INSERT INTO outflow.migration VALUES (1, '2026-11-21 12:00:00+00');

INSERT INTO outflow.outbox VALUES ('public.outbox', 'orders', '00000000-0000-4000-8000-0000000000aa', 3, '2026-11-21 12:00:00+00');

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

SELECT pg_catalog.setval('outflow.dead_letter_id_seq', 2, true);

SELECT pg_catalog.setval('outflow.member_number_seq', 7, true);

SELECT pg_catalog.setval('public.outbox_id_seq', 31, true);

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

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

CREATE INDEX dead_letter_outbox_died_at ON outflow.dead_letter USING btree (outbox, died_at);

CREATE TRIGGER outflow_wake AFTER INSERT ON public.outbox FOR EACH STATEMENT EXECUTE FUNCTION outflow.wake();

ALTER TABLE ONLY outflow.member
    ADD CONSTRAINT member_relation_fkey FOREIGN KEY (relation) REFERENCES outflow.outbox(relation) ON DELETE CASCADE;

GRANT USAGE ON SCHEMA outflow TO outflow_relay;
GRANT USAGE ON SCHEMA outflow TO outflow_operator;

GRANT ALL ON SCHEMA public TO outflow_migrator;
GRANT USAGE ON SCHEMA public TO outflow_relay;
GRANT USAGE ON SCHEMA public TO outflow_operator;
GRANT USAGE ON SCHEMA public TO order_api;

GRANT INSERT ON TABLE outflow.dead_letter TO outflow_relay;
GRANT SELECT,DELETE ON TABLE outflow.dead_letter TO outflow_operator;

GRANT SELECT,INSERT,DELETE ON TABLE outflow.member TO outflow_relay;
GRANT SELECT ON TABLE outflow.member TO outflow_operator;

GRANT SELECT,UPDATE ON TABLE outflow.outbox TO outflow_relay;
GRANT SELECT ON TABLE outflow.outbox TO outflow_operator;

GRANT SELECT,DELETE ON TABLE public.outbox TO outflow_relay;
GRANT SELECT,INSERT ON TABLE public.outbox TO outflow_operator;

GRANT UPDATE(id) ON TABLE public.outbox TO outflow_relay;

GRANT INSERT(event_id) ON TABLE public.outbox TO order_api;

GRANT INSERT(aggregate_type) ON TABLE public.outbox TO order_api;

GRANT INSERT(aggregate_id) ON TABLE public.outbox TO order_api;

GRANT INSERT(event_type) ON TABLE public.outbox TO order_api;

GRANT INSERT(payload) ON TABLE public.outbox TO order_api;

GRANT INSERT(headers) ON TABLE public.outbox TO order_api;

