//! What an error of sqlx tells; also for sea-orm, whose errors hold those of sqlx.

use std::borrow::Cow;

use ::sqlx::Error;
use ::sqlx::postgres::PgDatabaseError;

use crate::error::Said;

pub(crate) fn said(error: &Error) -> Said {
    match error {
        Error::Database(db) => {
            let of_postgres = db.try_downcast_ref::<PgDatabaseError>();
            Said {
                message: db.message().to_owned(),
                detail: of_postgres.and_then(PgDatabaseError::detail).map(str::to_owned),
                sqlstate: db.code().map(Cow::into_owned),
                is_unreachable: false,
            }
        }
        other => Said::by_driver(
            other,
            matches!(
                other,
                Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed
            ),
        ),
    }
}
