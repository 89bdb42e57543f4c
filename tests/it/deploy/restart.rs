//! What Redis holds survives its restarts with the shipped users.

use super::install::Install;
use crate::support::held;

/// More than one batch, so that most scripts write more than once.
const EVENTS: i64 = 3_000;

/// Redis replays its append-only file as the user `default`, and drops each transaction that this
/// user may not run.
#[tokio::test]
async fn streams_and_journal_survive_with_the_shipped_users() {
    let mut install = Install::new().await;
    let relay = install.relay("relay").await;
    let insert = format!(
        "insert into public.outbox (aggregate_type, aggregate_id, event_type, payload) \
         select 'order', 'k' || n % 7, 'T', '{{}}' from generate_series(1, {EVENTS}) n"
    );
    install.sql("postgres", &insert).await;
    install.until("not exists (select from public.outbox)").await;
    drop(relay);
    let before = held(install.redis("admin").await).await;
    assert_eq!(before.0, EVENTS);
    for cleanly in [true, false] {
        install.restart_redis(cleanly).await;
        assert_eq!(
            held(install.redis("admin").await).await,
            before,
            "after a restart, a clean one: {cleanly}"
        );
    }
    // And the relay goes on as if nothing had happened.
    let relay = install.relay("again").await;
    install.sql("postgres", &insert).await;
    install.until("not exists (select from public.outbox)").await;
    assert_eq!(held(install.redis("admin").await).await.0, 2 * EVENTS);
    assert!(!relay.program.log().contains("Redis lost data"), "{}", relay.program.log_tail());
}
