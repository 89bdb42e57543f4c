//! The order consumer's options that limit how much it handles at a time, and how fast.

use std::str::FromStr;
use std::time::Duration;

use outflow_consumer::{Rate, SettingsBuilder};

use super::options::BadOption;
use super::saga::Step;

/// Limits of an order consumer. None by default.
#[derive(Debug, clap::Args)]
pub struct LimitOptions {
    /// Maximum rate at which entries are handled, such as `100/s`, `30/m` or `5/h`
    ///
    /// Each attempt counts. Default: no limit.
    #[arg(long, env = "ORDER_CONSUMER_RATE_LIMIT", value_parser = rate)]
    rate_limit: Option<Rate>,
    /// Number of entries that --rate-limit allows at once after a time without entries
    ///
    /// Default: what the rate allows in a second, and at least 1.
    #[arg(long, env = "ORDER_CONSUMER_RATE_BURST", requires = "rate_limit")]
    rate_burst: Option<u32>,
    /// Maximum number of entries of an event type that are handled at a time, such as
    /// `OrderCreated=4`
    ///
    /// Separate several types by commas. Other types go on. Default: no limit but --workers.
    #[arg(long, env = "ORDER_CONSUMER_TYPE_LIMIT", value_delimiter = ',')]
    type_limit: Vec<OfType<usize>>,
    /// Maximum rate at which entries of an event type are handled, such as `OrderCreated=10/s`
    ///
    /// Separate several types by commas. Other types go on. Default: no limit.
    #[arg(long, env = "ORDER_CONSUMER_TYPE_RATE_LIMIT", value_delimiter = ',')]
    type_rate_limit: Vec<OfType<Rate>>,
}

/// `TYPE=VALUE`
#[derive(Debug, Clone)]
struct OfType<T> {
    name: String,
    value: T,
}

impl LimitOptions {
    /// Sets the limits of a consumer of this step.
    ///
    /// # Errors
    /// [`BadOption`] when the step does not handle a type, or a type is there twice.
    pub fn apply(
        &self,
        mut settings: SettingsBuilder,
        step: Step,
    ) -> Result<SettingsBuilder, BadOption> {
        if let Some(rate) = self.rate_limit {
            let rate = self.rate_burst.map_or(rate, |burst| rate.burst(burst));
            settings = settings.rate_limit(rate);
        }
        check("--type-limit", &self.type_limit, step)?;
        for OfType { name, value } in &self.type_limit {
            settings = settings.type_limit(name, *value);
        }
        check("--type-rate-limit", &self.type_rate_limit, step)?;
        for OfType { name, value } in &self.type_rate_limit {
            settings = settings.type_rate_limit(name, *value);
        }
        Ok(settings)
    }
}

fn check<T>(option: &str, limits: &[OfType<T>], step: Step) -> Result<(), BadOption> {
    for (number, OfType { name, .. }) in limits.iter().enumerate() {
        if !step.event_types().contains(&name.as_str()) {
            let (step, types) = (step.name(), step.event_types().join(", "));
            return Err(BadOption(format!(
                "{option} names {name:?}, which the step {step} does not handle; expected one of \
                    {types}"
            )));
        }
        if limits[..number].iter().any(|limit| limit.name == *name) {
            return Err(BadOption(format!("{option} names {name:?} twice; expected once")));
        }
    }
    Ok(())
}

impl FromStr for OfType<usize> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        of_type(text, "OrderCreated=4", |value| value.parse().ok())
    }
}

impl FromStr for OfType<Rate> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        of_type(text, "OrderCreated=10/s", |value| rate(value).ok())
    }
}

fn of_type<T>(
    text: &str,
    example: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<OfType<T>, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match read(value.trim()) {
        Some(value) => Ok(OfType { name: name.trim().to_owned(), value }),
        None => Err(format!("expected such as {example}")),
    }
}

/// `EVENTS/UNIT`
fn rate(text: &str) -> Result<Rate, String> {
    let (events, unit) = text.split_once('/').unwrap_or((text, ""));
    let per = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err("expected such as 100/s, 30/m or 5/h".to_owned()),
    };
    match events.trim().parse() {
        Ok(events) => Ok(Rate::new(events, per)),
        Err(_) => Err("expected a whole number of events, such as 100/s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use outflow_consumer::{Rate, Settings};

    use super::{LimitOptions, Step};

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        limits: LimitOptions,
    }

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let args = ["order-consumer"].iter().chain(args);
        let program = Program::try_parse_from(args).map_err(|error| error.to_string())?;
        let settings = Settings::builder("s", "g", "c");
        let settings = program.limits.apply(settings, Step::Inventory);
        settings.map_err(|bad| bad.0)?.build().map_err(|bad| bad.to_string())
    }

    #[test]
    fn limits_are_those_of_the_library() {
        let builder = || Settings::builder("s", "g", "c");
        assert_eq!(settings(&[]), Ok(builder().build().expect("settings")));
        let given = settings(&[
            "--rate-limit",
            "100/s",
            "--rate-burst=7",
            "--type-limit=OrderCreated=4,PaymentFailed=1",
            "--type-rate-limit",
            "OrderCreated=30/m",
        ]);
        let expected = builder()
            .rate_limit(Rate::per_second(100).burst(7))
            .type_limit("OrderCreated", 4)
            .type_limit("PaymentFailed", 1)
            .type_rate_limit("OrderCreated", Rate::new(30, Duration::from_mins(1)));
        assert_eq!(given, Ok(expected.build().expect("settings")));
    }

    #[test]
    fn what_is_no_limit_is_refused_with_an_example() {
        let rows: [(&[&str], &str); 10] = [
            (&["--rate-limit", "100"], "such as 100/s, 30/m or 5/h"),
            (&["--rate-limit", "1.5/s"], "a whole number of events"),
            (&["--rate-limit", "5/d"], "such as 100/s, 30/m or 5/h"),
            (&["--rate-limit", "0/s"], "rate_limit is 0 events in 1s; expected 1 to"),
            (&["--rate-burst", "5"], "--rate-limit <RATE_LIMIT>"),
            (&["--type-limit", "4"], "expected such as OrderCreated=4"),
            (&["--type-limit", "OrderCreated=0"], "type_limit is 0 for type \"OrderCreated\""),
            (&["--type-limit", "OrderCreate=4"], "expected one of OrderCreated, OrderCancelled"),
            (&["--type-limit", "OrderCreated=4,OrderCreated=5"], "names \"OrderCreated\" twice"),
            (&["--type-rate-limit", "OrderCreated=4"], "expected such as OrderCreated=10/s"),
        ];
        for (args, expected) in rows {
            let error = settings(args).expect_err(expected);
            assert!(error.contains(expected), "{args:?}: {error}");
        }
    }
}
