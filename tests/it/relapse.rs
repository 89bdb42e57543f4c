//! What keeps an outbox from being drained, again and again, while both servers are there: paced,
//! said once, named by the probes, and over as soon as it is mended.

use crate::support::{Stage, outbox};

const INSERT: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
    values ('order', 'k', 'T', '{}');";
const RAISES: &str = "create function raises() returns trigger language plpgsql as $$ begin raise \
    exception 'not today'; end $$;";

struct Trouble {
    what: &'static str,
    comes: &'static str,
    insert: &'static str,
    mend: &'static str,
    /// Whether a generation is needed to find out.
    is_doubt: bool,
}

const TROUBLES: [Trouble; 3] = [
    Trouble {
        what: "a delete that is refused",
        comes: "create trigger no before delete on outbox for each statement execute function \
            raises()",
        insert: INSERT,
        mend: "drop trigger no on outbox",
        is_doubt: false,
    },
    Trouble {
        what: "a commit that is refused",
        comes: "create constraint trigger no after delete on outbox deferrable initially deferred \
                for each row execute function raises()",
        insert: INSERT,
        mend: "drop trigger no on outbox",
        is_doubt: false,
    },
    Trouble {
        what: "dead letters that cannot be written",
        comes: "create trigger no before insert on outflow.dead_letter for each row execute \
            function raises()",
        insert: "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('', 'k', 'T', '{}');",
        mend: "drop trigger no on outflow.dead_letter",
        is_doubt: true,
    },
];

#[tokio::test]
async fn trouble_that_comes_back_is_paced_and_named_and_heals() {
    for Trouble { what, comes, insert, mend, is_doubt } in TROUBLES {
        let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
        stage.sql(RAISES).await;
        let relay = stage.relay();
        stage.ready(200).await;
        stage.sql(comes).await;
        stage.sql(insert).await;
        stage.not_ready("not today").await;
        // So long that without pauses there would have been hundreds.
        for _ in 0..10 {
            stage.asked(&["status"]).await.data();
        }
        stage.not_ready("not today").await;
        let generation = stage.number("select generation from outflow.outbox").await;
        assert!(
            generation <= if is_doubt { 12 } else { 1 },
            "{what}: generation {generation}: {}",
            relay.log_tail()
        );
        let told = relay
            .log()
            .lines()
            .filter(|line| line.contains("not today") && !line.contains("DEBUG"))
            .count();
        assert!((1..=3).contains(&told), "{what}: told {told} times: {}", relay.log_tail());
        stage.sql(mend).await;
        stage.drained().await;
        stage.ready(200).await;
    }
}
