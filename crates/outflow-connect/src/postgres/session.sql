-- What every session of ours relies on, whatever the database or the role presets. Lines of `set name = value;`.
set default_transaction_read_only = off;
set default_transaction_isolation = 'read committed';
set default_transaction_deferrable = off;
set idle_session_timeout = 0;
set row_security = on;
set standard_conforming_strings = on;
set client_min_messages = warning;
-- How values read as text: members of an outbox hash keys by it, and match the journal's rows by it.
set datestyle = 'ISO, MDY';
set intervalstyle = 'postgres';
set timezone = 'UTC';
set bytea_output = 'hex';
set extra_float_digits = 1;
set xmlbinary = 'base64';
set xmloption = 'content';
set quote_all_identifiers = off;
set array_nulls = on;
