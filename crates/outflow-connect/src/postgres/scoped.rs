//! Settings that end with the transaction they are for. A command may be run through a transaction
//! pooler, where the session belongs to whoever begins next: what it sets for the session would be
//! set for an application.

use tokio_postgres::Client;

/// `begin …` with these settings, which are written as `set name = value;` one after another.
pub fn begin(mode: &str, settings: &str) -> String {
    let mut sql = format!("begin {mode};");
    for line in settings.lines().filter(|line| !line.trim_start().starts_with("--")) {
        for setting in line.split(';').map(str::trim).filter(|setting| !setting.is_empty()) {
            let local = setting.strip_prefix("set ").filter(|rest| !rest.starts_with("local "));
            let words = if local.is_some() { " set local " } else { " " };
            sql.extend([words, local.unwrap_or(setting), ";"]);
        }
    }
    sql
}

/// The same settings for a transaction that is open.
pub fn local(settings: &str) -> String {
    begin("", settings).split_off("begin ;".len())
}

/// Runs `step` in a transaction that `begin` opens and that is rolled back: it only looks.
///
/// # Errors
/// The transaction could not begin, or not end; what went wrong in `step` is in its own outcome.
pub async fn looking<T>(
    client: &Client,
    begin: &str,
    step: impl Future<Output = T>,
) -> Result<T, tokio_postgres::Error> {
    client.batch_execute(begin).await?;
    let outcome = step.await;
    client.batch_execute("rollback").await?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_for_the_transaction() {
        let settings = "-- why\nset a = on;\nset b = '1s'; set local c = off;\n";
        assert_eq!(
            begin("read only", settings),
            "begin read only; set local a = on; set local b = '1s'; set local c = off;"
        );
        assert_eq!(local(settings), " set local a = on; set local b = '1s'; set local c = off;");
        let ours = begin("read only", super::super::SESSION);
        assert_eq!(ours.matches("set local ").count(), ours.matches(';').count() - 1, "{ours}");
    }
}
