//! SIGHUP: a kept outbox that is set up anew goes on where it was.

use super::delivery::{check, counters, write};
use super::kept_with;
use crate::reload::reload;
use crate::support::{LIMIT, Stage, outbox};

#[tokio::test]
async fn a_change_of_settings_loses_and_doubles_nothing() {
    let stage = Stage::new(&kept_with("batch_rows = 20")).await;
    counters(&stage).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let changes = [
        "batch_rows = 7\nin_flight = 1",
        "batch_rows = 50\nin_flight = 6\n[outbox.keep]\nfor = \"3d\"\non_loss = \"stop\"",
        "linger = \"20ms\"\n[outbox.keep]\non_loss = \"resend\"",
        "batch_bytes = \"4KiB\"",
    ];
    for settings in changes {
        let change = async {
            stage.configure(&kept_with(settings));
            reload(&stage, &mut relay, "success").await;
        };
        tokio::join!(write(&stage, 6, 40), change);
    }
    check(&stage).await;

    // To delete from here on would send all that is there again: the old settings stay.
    stage.configure(&outbox(""));
    reload(&stage, &mut relay, "failure").await;
    write(&stage, 6, 20).await;
    check(&stage).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    check(&stage).await;
}
