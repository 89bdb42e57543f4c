//! Every SQL statement of docs/producing.md runs, in its order.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

use outflow_local::{Postgres, PostgresOptions};
use tokio_postgres::NoTls;

const TABLE: &str = include_str!("../../../src/operate/migrate/event_table.sql");
const DOCUMENT: &str = include_str!("../../../docs/producing.md");

#[tokio::test]
async fn the_document_s_statements_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = vec![("max_prepared_transactions".to_owned(), "5".to_owned())];
    let options = PostgresOptions { fsync: false, settings };
    let server = Postgres::start_with(dir.path(), options).await.expect("Postgres starts");
    let (client, connection) =
        tokio_postgres::connect(&server.url(), NoTls).await.expect("it takes connections");
    // Ends when the client is dropped.
    drop(tokio::spawn(connection));
    let table = TABLE.replace("{table}", "public.outbox");
    client.batch_execute(&table).await.expect("the table is made");
    let mut blocks = DOCUMENT.split("```sql\n").skip(1).map(|rest| rest.split("```").next());
    let mut count = 0;
    while let Some(Some(block)) = blocks.next() {
        // Statement by statement, as psql sends them: `prepare transaction` must begin none.
        for statement in block.split(";\n") {
            client
                .batch_execute(statement)
                .await
                .unwrap_or_else(|error| panic!("{:?}\n{statement}", error.as_db_error()));
        }
        count += 1;
    }
    assert_ne!(count, 0, "the document has no SQL");
    let query = "select string_agg(event_type, ' ' order by id) from outbox";
    let events: String = client.query_one(query, &[]).await.expect("it is answered").get(0);
    assert_eq!(
        events,
        "CustomerRenamed CustomerChecked CustomerApproved CustomerVisited CustomerVisited \
         CustomerCreated CustomerRenamed"
    );
}
