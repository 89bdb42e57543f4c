//! What `Outbox::write` costs, beside a statement that was prepared once: `make bench-producer`.
//! Each way writes the same events in turn, in transactions of ten, over one connection.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use ::tokio_postgres::{Client, NoTls, Statement, Transaction};
use outflow_local::{Postgres, PostgresOptions};
use outflow_producer::NewEvent;
use outflow_producer::tokio_postgres::Outbox;
use serde_json::{Value, json};
use uuid::Uuid;

const TABLE: &str = include_str!("../../../src/operate/migrate/event_table.sql");
const ROUNDS: usize = 5;
const TRANSACTIONS: usize = 500;
const EVENTS: usize = 10;
/// What was prepared when that was a function of its own, `write_prepared`.
const INSERT: &str = "insert into public.outbox \
     (event_id, aggregate_type, aggregate_id, event_type, payload, headers) \
     values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb)";

enum Way {
    Write,
    WriteMany,
    Prepared(Statement),
    Before(Statement),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
    let server = Postgres::start_with(dir.path(), options).await?;
    let (mut client, connection) = ::tokio_postgres::connect(&server.url(), NoTls).await?;
    let driver = tokio::spawn(connection);
    client.batch_execute(&TABLE.replace("{table}", "public.outbox")).await?;
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await?.try_get(0)?;
    let ways = [
        ("write", Way::Write),
        ("write_many (10)", Way::WriteMany),
        ("prepared(…).write", Way::Prepared(client.prepare(Outbox::default().insert_sql()).await?)),
        ("write_prepared, before", Way::Before(client.prepare(INSERT).await?)),
    ];
    let mut sums = [(Duration::ZERO, Duration::ZERO); 4];
    for round in 0..=ROUNDS {
        for ((_, way), sum) in ways.iter().zip(&mut sums) {
            client.batch_execute("truncate public.outbox").await?;
            let (before, start) = (processor_time(pid)?, Instant::now());
            run(&mut client, way).await?;
            // The first round warms up.
            if round > 0 {
                sum.0 += start.elapsed();
                sum.1 += processor_time(pid)?.saturating_sub(before);
            }
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<24} {:>8} {:>24}", "way", "µs/event", "server CPU µs/event")?;
    let events = f64::from(u32::try_from(ROUNDS * TRANSACTIONS * EVENTS)?);
    for ((name, _), (elapsed, processor)) in ways.iter().zip(sums) {
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / events;
        writeln!(out, "{name:<24} {:>8.1} {:>24.1}", micros(elapsed), micros(processor))?;
    }
    drop(client);
    Ok(driver.await??)
}

async fn run(client: &mut Client, way: &Way) -> Result<(), Box<dyn Error>> {
    let outbox = Outbox::default();
    let payload = json!({ "order_id": Uuid::nil(), "padding": "x".repeat(200) });
    for _ in 0..TRANSACTIONS {
        let transaction = client.transaction().await?;
        let events: Vec<NewEvent<'_, Value>> = (0..EVENTS)
            .map(|number| NewEvent::new("order", number.to_string(), "OrderCreated", &payload))
            .collect();
        match way {
            Way::Write => {
                for event in &events {
                    outbox.write(&transaction, event).await?;
                }
            }
            Way::WriteMany => outbox.write_many(&transaction, &events).await?,
            Way::Prepared(statement) => {
                let outbox = outbox.prepared(statement.clone());
                for event in &events {
                    outbox.write(&transaction, event).await?;
                }
            }
            Way::Before(statement) => before(&transaction, statement, &events, &payload).await?,
        }
        transaction.commit().await?;
    }
    Ok(())
}

/// As `write_prepared` did.
async fn before(
    transaction: &Transaction<'_>,
    statement: &Statement,
    events: &[NewEvent<'_, Value>],
    payload: &Value,
) -> Result<(), Box<dyn Error>> {
    for number in 0..events.len() {
        let (key, payload) = (number.to_string(), serde_json::to_string(payload)?);
        let id = Uuid::now_v7();
        transaction
            .execute(statement, &[&id, &"order", &key, &"OrderCreated", &payload, &"{}"])
            .await?;
    }
    Ok(())
}

/// What a process has spent on processors so far.
fn processor_time(pid: i32) -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    Ok(Duration::from_nanos(stat.split(' ').next().unwrap_or_default().parse()?))
}
