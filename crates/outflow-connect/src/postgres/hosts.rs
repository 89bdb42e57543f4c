//! Several hosts in one address, tried one after another.
//!
//! As libpq has it, `connect_timeout` is for each host and covers everything up to a session.
//! tokio-postgres (0.7) ends it with the TCP connection, so that a host which accepts and stays
//! silent would hide the ones behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts};

/// Which host is tried first: the one that gave the last session, or the one behind a host that
/// gave none.
///
/// A caller may give up before a dead host has had its time, and the next caller must not wait for
/// that host again. Only the order depends on it: every host is tried, and each session is asked
/// whether its server takes writes.
#[derive(Debug, Clone, Default)]
pub(super) struct First(Arc<AtomicUsize>);

impl First {
    /// The hosts, in the order to try them in.
    pub(super) fn order(&self, config: &Config) -> Vec<usize> {
        let hosts = number(config);
        let first = match config.get_load_balance_hosts() {
            LoadBalanceHosts::Random => fastrand::usize(..hosts),
            _ => self.0.load(Ordering::Relaxed) % hosts,
        };
        (first..hosts).chain(0..first).collect()
    }

    pub(super) fn attempt(&self, host: usize) -> Attempt<'_> {
        Attempt { first: self, host, is_good: false }
    }
}

/// One host's turn. It was in vain unless [`Attempt::succeeded`], also if its future was dropped.
pub(super) struct Attempt<'a> {
    first: &'a First,
    host: usize,
    is_good: bool,
}

impl Attempt<'_> {
    pub(super) fn succeeded(mut self) {
        self.is_good = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.first.0.store(self.host + usize::from(!self.is_good), Ordering::Relaxed);
    }
}

/// At least one.
pub(super) fn number(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len()).max(1)
}

/// The same with one of its hosts alone; as it is if it has one, or if hosts, addresses and ports
/// do not match, which tokio-postgres then says.
pub(super) fn alone(config: &Config, host: usize) -> Config {
    let hosts = config.get_hosts();
    let addresses = config.get_hostaddrs();
    let ports = config.get_ports();
    let all = number(config);
    let is_whole = |count: usize| count == 0 || count == all;
    if all == 1
        || !is_whole(hosts.len())
        || !is_whole(addresses.len())
        || !(ports.len() == 1 || is_whole(ports.len()))
    {
        return config.clone();
    }
    let mut alone = without_hosts(config);
    match hosts.get(host) {
        Some(Host::Tcp(name)) => _ = alone.host(name),
        Some(Host::Unix(path)) => _ = alone.host_path(path),
        None => {}
    }
    if let Some(address) = addresses.get(host) {
        alone.hostaddr(*address);
    }
    if let Some(port) = ports.get(host).or(ports.first()) {
        alone.port(*port);
    }
    alone
}

/// tokio-postgres can add hosts only.
fn without_hosts(config: &Config) -> Config {
    let mut other = Config::new();
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(password) = config.get_password() {
        other.password(password);
    }
    if let Some(database) = config.get_dbname() {
        other.dbname(database);
    }
    if let Some(options) = config.get_options() {
        other.options(options);
    }
    if let Some(name) = config.get_application_name() {
        other.application_name(name);
    }
    if let Some(limit) = config.get_connect_timeout() {
        other.connect_timeout(*limit);
    }
    if let Some(limit) = config.get_tcp_user_timeout() {
        other.tcp_user_timeout(*limit);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        other.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        other.keepalives_retries(retries);
    }
    other
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .load_balance_hosts(config.get_load_balance_hosts());
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "postgres://u:p@one:1,two:2,three:3/d?connect_timeout=7&\
        keepalives=0&keepalives_idle=9\
        &keepalives_interval=8&keepalives_retries=6&tcp_user_timeout=5&options=-c%20a%3Db&\
        application_name=n&sslmode=require\
        &channel_binding=require&target_session_attrs=read-write";

    /// Whatever tokio-postgres comes to know, its `Debug` shows.
    #[test]
    fn one_host_alone_is_the_same_in_all_else() {
        let config: Config = ADDRESS.parse().expect("an address");
        let alone: Config =
            ADDRESS.replace("one:1,two:2,three:3", "two:2").parse().expect("an address");
        assert_eq!(super::alone(&config, 1), alone);
        assert_eq!(super::alone(&alone, 0), alone);
        let shared: Config = "host=one,two port=7".parse().expect("an address");
        let second: Config = "host=two port=7".parse().expect("an address");
        assert_eq!(super::alone(&shared, 1), second);
        let unequal: Config = "host=one,two port=7,8,9".parse().expect("an address");
        assert_eq!(super::alone(&unequal, 1), unequal, "said by whoever connects");
    }

    #[test]
    fn the_next_caller_begins_behind_a_host_that_gave_nothing() {
        let config: Config = ADDRESS.parse().expect("an address");
        let first = First::default();
        assert_eq!(first.order(&config), [0, 1, 2]);
        drop(first.attempt(0));
        assert_eq!(first.order(&config), [1, 2, 0], "given up on");
        first.attempt(1).succeeded();
        assert_eq!(first.clone().order(&config), [1, 2, 0], "it is good");
        drop(first.attempt(2));
        assert_eq!(first.order(&config), [0, 1, 2]);
        let random: Config =
            format!("{ADDRESS}&load_balance_hosts=random").parse().expect("an address");
        let seen: std::collections::BTreeSet<usize> =
            (0..1_000).map(|_| first.order(&random)[0]).collect();
        assert_eq!(seen.len(), 3);
    }
}
