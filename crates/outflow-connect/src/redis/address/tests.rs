//! What an address of Redis means.

use super::*;

#[test]
fn what_fred_gets_has_neither_tls_nor_its_parameters() {
    let table = [
        ("redis://h", "redis://h", false),
        ("redis://u:p@h:7/3", "redis://u:p@h:7/3", false),
        ("rediss://u:p%40@h:7/3?ssl_ca_certs=system", "redis://u:p%40@h:7/3", true),
    ];
    for (text, rest, is_tls) in table {
        match Address::parse(&SecretString::from(text)) {
            Ok(address) => assert_eq!(
                (address.at(None).as_str(), address.tls.is_some()),
                (rest, is_tls),
                "{text}"
            ),
            // A machine without authorities of its own.
            Err(error) => {
                assert!(is_tls && error.to_string().contains("install ca-certificates"), "{error}");
            }
        }
    }
}

#[test]
fn a_cluster_is_reached_at_any_of_its_nodes() {
    let url = "redis-cluster://u:p%40@one:7?node=two:8&node=[::3]:9&node=one:7";
    let address = Address::parse(&SecretString::from(url)).expect("an address");
    let places: Vec<String> = address.places.iter().map(Endpoint::to_string).collect();
    assert_eq!(places, ["one:7", "two:8", "[::3]:9"]);
    let told: Vec<String> = address.places.iter().map(|place| address.at(Some(place))).collect();
    assert_eq!(told, ["redis://u:p%40@one:7", "redis://u:p%40@two:8", "redis://u:p%40@[::3]:9"]);
}

#[test]
fn sentinels_have_their_own_user_and_no_database() {
    let url = "redis-sentinel://u:p%40@one/3?node=two:8&service_name=orders&\
        sentinel_username=s&sentinel_password=q%40";
    let address = Address::parse(&SecretString::from(url)).expect("an address");
    let Kind::Sentinels(sentinels) = &address.kind else { panic!("not of sentinels") };
    assert_eq!(sentinels.service, "orders");
    let told: Vec<String> = address.places.iter().map(|place| sentinels.at(place)).collect();
    assert_eq!(told, ["redis://s:q%40@one:26379", "redis://s:q%40@two:8"]);
    let master = Endpoint { host: "10.0.0.1".to_owned(), port: 6379 };
    assert_eq!(address.at(Some(&master)), "redis://u:p%40@10.0.0.1:6379/3");
    assert_eq!(address.place(), "one:26379/orders/3");
    let without =
        Address::parse(&SecretString::from("redis-sentinel://u:p@one?service_name=orders"));
    let Ok(Address { kind: Kind::Sentinels(without), places, .. }) = without else {
        panic!("not of sentinels")
    };
    assert_eq!(without.at(&places[0]), "redis://one:26379", "the master's user is none of theirs");
}

#[test]
fn what_is_not_understood_is_refused() {
    let table = [
        ("http://h", "expected redis://"),
        ("redis-sentry://h", "expected redis://"),
        ("redis-://h", "expected redis://"),
        ("redis-sentinel://h", "needs service_name=NAME"),
        ("redis-sentinel://h?service_name=", "needs service_name=NAME"),
        ("redis-sentinel://h?service_name=m&node=two", "expected node=host:port"),
        ("redis://h?service_name=m", "service_name is used with redis-sentinel:// only"),
        (
            "redis-cluster://h?sentinel_password=m",
            "sentinel_password is used with redis-sentinel:// only",
        ),
        ("redis-cluster://", "expected redis://"),
        ("redis-cluster://h/1", "database 0 only"),
        ("redis-cluster://h?node=two", "expected node=host:port"),
        ("redis://h?node=two:1", "redis-cluster:// and redis-sentinel:// only"),
        ("redis://h?ssl_ca_certs=/ca", "rediss:// only"),
        ("rediss://h?ssl_cert_reqs=none", "unknown parameter \"ssl_cert_reqs\""),
        ("rediss://h?ssl_ca_certs=/nowhere.pem", "/nowhere.pem: there is no such file"),
    ];
    for (text, words) in table {
        let error = Address::parse(&SecretString::from(text))
            .err()
            .unwrap_or_else(|| panic!("{text} is taken"));
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}
