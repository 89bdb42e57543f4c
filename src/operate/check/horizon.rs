//! Who holds back the vacuum horizon: the usual cause of an outbox that grows while its rows are
//! gone.

use tokio_postgres::Client;

use super::finding::{Findings, Remedy, advice};
use super::session::looking;
use outflow_connect::postgres::describe;

const ABOUT: &str = "postgres";

pub(super) async fn check(client: &Client, findings: &mut Findings) {
    let rows = match looking(client, client.query(include_str!("sql/horizon.sql"), &[])).await {
        Ok(rows) => rows,
        Err(error) => {
            let what =
                format!("cannot find out who holds back the vacuum horizon: {}", describe(&error));
            findings.warning(ABOUT, what, advice("run `outflow check` as a role in pg_monitor"));
            return;
        }
    };
    if rows.is_empty() {
        findings.ok(ABOUT, "no session that this role can see holds back the vacuum horizon");
    }
    for row in rows {
        let (holder, more): (String, String) = (row.get("holder"), row.get("more"));
        let (transactions, remedy): (i32, String) = (row.get("transactions"), row.get("remedy"));
        let what = format!(
            "{holder} ({more}) holds back the vacuum horizon by {transactions} transactions"
        );
        findings.warning(ABOUT, format!("{what}; end it if nobody needs it"), Remedy::Sql(remedy));
    }
}
