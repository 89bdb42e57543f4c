//! Private Postgres and Redis servers for the demo and the tests.
