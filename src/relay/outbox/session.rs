//! The sessions in which a member claims, settles and recovers: its own ones, or those that a
//! transaction pooler lends it for one transaction each.
//!
//! A lent session belongs to somebody else before and after the transaction. So all work is done in
//! transactions, each of which sets what it relies on for itself alone, and no statement is
//! prepared under a name. And nobody but the pooler knows which server the next transaction comes
//! to. So each transaction proves that it is where the control session is: that one holds an
//! advisory lock under a random number, which nobody gets in the same database of the same running
//! server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::BytesMut;
use deadpool_postgres::{Object, Pool};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, try_join};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, RowStream, Statement};

use super::refusal::{Failed, ask, failed};
use super::servers::Servers;
use super::{OutboxError, connections};
use outflow_connect::postgres::{self, bare_pool, pool, scoped};

/// Whether the transaction is where the control session is. `$1` the number of its proof.
const IS_HERE: &str = "select not pg_catalog.pg_try_advisory_xact_lock_shared($1::bigint)";
/// Which type a parameter has is told by its value: the first of these that takes it.
const TYPES: [Type; 12] = [
    Type::TEXT,
    Type::INT8,
    Type::INT4,
    Type::OID,
    Type::BOOL,
    Type::BYTEA,
    Type::JSONB,
    Type::TEXT_ARRAY,
    Type::INT8_ARRAY,
    Type::INT4_ARRAY,
    Type::BYTEA_ARRAY,
    Type::JSONB_ARRAY,
];

/// Opens sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    pool: Pool,
    lent: Option<Arc<Lent>>,
}

/// What sessions of a pooler need.
struct Lent {
    /// What a transaction sets for itself.
    settings: String,
    /// The number under which the control session holds its proof.
    proof: AtomicI64,
}

/// A session, or what a pooler lends one from.
pub(super) struct Session {
    client: Object,
    lent: Option<Arc<Lent>>,
}

/// A statement.
#[derive(Clone)]
pub(super) enum Asked<'a> {
    Prepared(Statement),
    /// Prepared when it is asked, under no name in a lent session.
    Text(&'a str),
}

impl Sessions {
    /// At most `size` of them. `own`: what they rely on, as `set` statements.
    pub(super) fn new(servers: Servers<'_>, size: usize, own: &str) -> Self {
        let server = servers.work.clone();
        if servers.control.is_none() {
            return Self { pool: pool(server, size, own), lent: None };
        }
        let settings = scoped::local(&postgres::session(own));
        let lent = Lent { settings, proof: AtomicI64::new(0) };
        Self { pool: bare_pool(server, size), lent: Some(Arc::new(lent)) }
    }

    pub(super) async fn get(&self) -> Result<Session, OutboxError> {
        // Boxed, because it is large and part of every step.
        let client =
            Box::pin(self.pool.get()).await.map_err(|error| connections::refused(&error))?;
        Ok(Session { client, lent: self.lent.clone() })
    }

    pub(super) fn are_lent(&self) -> bool {
        self.lent.is_some()
    }

    pub(super) fn resize(&self, size: usize) {
        self.pool.resize(size);
    }

    /// A number for the control session to hold its proof under, if transactions need one.
    pub(super) fn new_proof(&self) -> Option<i64> {
        let lent = self.lent.as_ref()?;
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let proof = random.cast_signed();
        lent.proof.store(proof, Ordering::Release);
        Some(proof)
    }
}

impl Session {
    /// Whether it belongs to a pooler.
    pub(super) fn is_lent(&self) -> bool {
        self.lent.is_some()
    }

    /// For what needs no more than one of our own sessions.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Ends it instead of giving it back to the pool.
    pub(super) fn close(self) {
        drop(Object::take(self.client));
    }

    /// Begins a transaction by this statement, and by what may follow it.
    pub(super) async fn begin(&self, begin: &str) -> Result<(), Failed> {
        let Some(lent) = &self.lent else { return ask(self.client.batch_execute(begin)).await };
        let (begin, proof) = (lent.begin(begin), lent.proof.load(Ordering::Acquire));
        let is_here = [(&proof as &(dyn ToSql + Sync), Type::INT8)];
        // One round trip.
        let asked =
            try_join(self.client.batch_execute(&begin), self.client.query_typed(IS_HERE, &is_here));
        let ((), rows) = ask(asked).await?;
        let is_here = rows.first().is_some_and(|row| row.get(0));
        if is_here { Ok(()) } else { Err(Failed::Lost(elsewhere())) }
    }

    /// The same, to be sent with what follows it. Whether it is where it must be is to be asked by
    /// the [proof](Self::proof).
    pub(super) fn beginning(&self, begin: &str) -> String {
        self.lent.as_ref().map_or_else(|| begin.to_owned(), |lent| lent.begin(begin))
    }

    /// The number of the control session's proof, in a lent session.
    pub(super) fn proof(&self) -> Option<i64> {
        self.lent.as_ref().map(|lent| lent.proof.load(Ordering::Acquire))
    }

    /// A step outside of a transaction: in a lent session it is one. The session must be closed if
    /// it fails.
    pub(super) fn alone<'a, T: Send + 'a>(
        &'a self,
        step: impl Future<Output = Result<T, OutboxError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, OutboxError>> {
        let alone = async move {
            if !self.is_lent() {
                return step.await;
            }
            self.begin("begin isolation level read committed read write").await?;
            let outcome = step.await?;
            self.batch_execute("commit").await.map_err(|error| failed(&error))?;
            Ok(outcome)
        };
        alone.boxed()
    }

    /// To be asked often. A lent session asks by the text.
    pub(super) async fn prepare_cached<'a>(&self, sql: &'a str) -> Result<Asked<'a>, Error> {
        if self.is_lent() {
            return Ok(Asked::Text(sql));
        }
        self.client.prepare_cached(sql).await.map(Asked::Prepared)
    }

    pub(super) async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    pub(super) async fn query_raw(
        &self,
        asked: impl Into<Asked<'_>>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<RowStream, Error> {
        match asked.into() {
            Asked::Prepared(statement) => {
                self.client.query_raw(&statement, params.iter().copied()).await
            }
            Asked::Text(sql) if self.is_lent() => {
                self.client.query_typed_raw(sql, typed(params)).await
            }
            Asked::Text(sql) => self.client.query_raw(sql, params.iter().copied()).await,
        }
    }

    pub(super) async fn query(
        &self,
        asked: impl Into<Asked<'_>>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        match asked.into() {
            Asked::Prepared(statement) => self.client.query(&statement, params).await,
            Asked::Text(sql) if self.is_lent() => {
                self.client.query_typed(sql, &typed(params)).await
            }
            Asked::Text(sql) => self.client.query(sql, params).await,
        }
    }

    pub(super) async fn query_opt(
        &self,
        asked: impl Into<Asked<'_>>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        match asked.into() {
            Asked::Prepared(statement) => self.client.query_opt(&statement, params).await,
            Asked::Text(sql) if self.is_lent() => {
                self.client.query_typed_opt(sql, &typed(params)).await
            }
            Asked::Text(sql) => self.client.query_opt(sql, params).await,
        }
    }

    pub(super) async fn query_one(
        &self,
        asked: impl Into<Asked<'_>>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        match asked.into() {
            Asked::Prepared(statement) => self.client.query_one(&statement, params).await,
            Asked::Text(sql) if self.is_lent() => {
                self.client.query_typed_one(sql, &typed(params)).await
            }
            Asked::Text(sql) => self.client.query_one(sql, params).await,
        }
    }

    pub(super) async fn execute(
        &self,
        asked: impl Into<Asked<'_>>,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        match asked.into() {
            Asked::Prepared(statement) => self.client.execute(&statement, params).await,
            Asked::Text(sql) if self.is_lent() => {
                self.client.execute_typed(sql, &typed(params)).await
            }
            Asked::Text(sql) => self.client.execute(sql, params).await,
        }
    }

    pub(super) async fn query_typed(
        &self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        self.client.query_typed(sql, params).await
    }

    pub(super) async fn execute_typed(
        &self,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        self.client.execute_typed(sql, params).await
    }
}

impl Lent {
    /// The settings come first: what a transaction has of its own replaces them.
    fn begin(&self, begin: &str) -> String {
        let (begin, own) = begin.split_once(';').unwrap_or((begin, ""));
        format!("{begin};{}{own}", self.settings)
    }
}

impl<'a> From<&'a str> for Asked<'a> {
    fn from(sql: &'a str) -> Self {
        Self::Text(sql)
    }
}

impl<'a> From<&'a String> for Asked<'a> {
    fn from(sql: &'a String) -> Self {
        Self::Text(sql)
    }
}

impl<'a> From<&Asked<'a>> for Asked<'a> {
    fn from(asked: &Asked<'a>) -> Self {
        asked.clone()
    }
}

/// What a transaction says that is not where the control session is.
pub(super) fn elsewhere() -> OutboxError {
    OutboxError::Postgres(
        "postgres.url has led to another server or database than postgres.control_url, or the \
            control connection has just ended: nothing was changed"
            .to_owned(),
    )
}

/// Values of no known type are sent as texts, which the driver refuses.
fn typed<'a>(params: &[&'a (dyn ToSql + Sync)]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    let mut scratch = BytesMut::new();
    let mut takes = |value: &(dyn ToSql + Sync), kind: &Type| {
        scratch.clear();
        value.to_sql_checked(kind, &mut scratch).is_ok()
    };
    let mut kind = |value| TYPES.into_iter().find(|kind| takes(value, kind)).unwrap_or(Type::TEXT);
    params.iter().map(|value| (*value, kind(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_value_that_statements_have_has_its_type() {
        let (texts, numbers) = (vec![Some("a".to_owned())], vec![1_i64]);
        let none: Option<&[String]> = None;
        let table: [(&(dyn ToSql + Sync), Type); 14] = [
            (&"a", Type::TEXT),
            (&None::<String>, Type::TEXT),
            (&1_i64, Type::INT8),
            (&None::<i64>, Type::INT8),
            (&1_i32, Type::INT4),
            (&1_u32, Type::OID),
            (&true, Type::BOOL),
            (&&b"a"[..], Type::BYTEA),
            (&texts, Type::TEXT_ARRAY),
            (&none, Type::TEXT_ARRAY),
            (&numbers, Type::INT8_ARRAY),
            (&vec![1_i32], Type::INT4_ARRAY),
            (&vec![&b"a"[..]], Type::BYTEA_ARRAY),
            (&vec![None::<serde_json::Value>], Type::JSONB_ARRAY),
        ];
        for (value, expected) in table {
            let found = typed(&[value]).remove(0).1;
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_transactions_own_settings_replace_the_usual_ones() {
        let lent = Lent { settings: " set local a = 1;".to_owned(), proof: AtomicI64::new(0) };
        assert_eq!(lent.begin("begin"), "begin; set local a = 1;");
        assert_eq!(lent.begin("begin; set local a = 2"), "begin; set local a = 1; set local a = 2");
    }
}
