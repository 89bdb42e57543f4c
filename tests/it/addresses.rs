//! Addresses: what they may have in them, where they come from, and that nothing secret of them is
//! ever shown.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use outflow::config::{Source, load, show};
use outflow_connect::postgres;
use outflow_connect::redis;
use outflow_local::{Program, free_port};
use proptest::prelude::*;
use secrecy::SecretString;

use crate::support::{LIMIT, Stage, outbox, program};

/// Runs `outflow` with nothing of our own environment but these.
fn outflow(dir: &Path, args: &[&str], envs: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outflow"));
    command.args(args).current_dir(dir).env_clear().envs(envs.iter().copied());
    let Output { status, stdout, stderr } = command.output().expect("outflow");
    (
        status.code(),
        format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)),
    )
}

#[test]
fn parameters_of_postgres_are_taken_or_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = [
        ("postgres://u@h/d?target_session_attrs=primary", 0, ""),
        ("postgres://u@h:1,g:2/d?target_session_attrs=read-write&load_balance_hosts=random", 0, ""),
        ("postgres://u@h/d?gssencmode=disable&client_encoding=UTF8&sslcompression=0", 0, ""),
        (
            "postgres://u@h/d?connect_timeout=3&keepalives_count=2&\
                tcp_user_timeout=5000&channel_binding=disable",
            0,
            "",
        ),
        ("postgres://u@h/d?options=-c%20work_mem%3D4MB&application_name=mine", 0, ""),
        ("host=h user=u dbname=d target_session_attrs=primary gssencmode=prefer", 0, ""),
        (
            "postgres://u@h/d?target_session_attrs=standby",
            78,
            "target_session_attrs: expected read-write or primary",
        ),
        ("postgres://u@h/d?gssencmode=require", 78, "gssencmode: expected disable or prefer"),
        ("postgres://u@h/d?pgbouncer=true", 78, "\"pgbouncer\""),
        ("host=h pgbouncer=true", 78, "\"pgbouncer\""),
        ("postgres://u@h/d?sslmod=require", 78, "did you mean \"sslmode\"?"),
        ("postgres://u@h/d?connect_timeout=soon", 78, "connect_timeout: expected a number"),
        ("postgres://u@h/d?channel_binding=maybe", 78, "channel_binding has a value"),
        ("postgres://u@h:x/d", 78, "a port is a number"),
        ("postgres://u:000000", 78, "write user:password@host"),
        ("postgres://u@h/d?service=app", 78, "service is not supported"),
        ("postgres://u@h/d?passfile=/nowhere", 78, "passfile: /nowhere"),
    ];
    for (url, code, words) in table {
        let (found, said) =
            outflow(dir.path(), &["check", "--offline"], &[("OUTFLOW_POSTGRES__URL", url)]);
        assert_eq!(found, Some(code), "{url}: {said}");
        assert!(
            said.contains(words) && (code == 0 || said.contains("postgres.url")),
            "{url}: {said}"
        );
    }
}

#[tokio::test]
async fn the_first_of_several_hosts_that_is_a_primary_is_used() {
    let stage = Stage::new(&outbox("")).await;
    let dead = free_port().expect("a port");
    let own = stage.postgres.port();
    let url = format!(
        "postgres://postgres@127.0.0.1:{dead},127.0.0.1:{own}/postgres?\
        target_session_attrs=primary&connect_timeout=2"
    );
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('order', 'k', 'T', '{}')",
        )
        .await;
    let run = stage.asked_with(&["run", "--once"], &[("OUTFLOW_POSTGRES__URL", &url)]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(stage.length("events.order").await, 1);
}

/// Without a password the server cannot be asked at all: no use in trying again.
#[tokio::test]
async fn a_missing_password_ends_every_program_with_78_and_the_remedy() {
    let stage = Stage::new(&outbox("")).await;
    stage.guarded("hunter2").await;
    let url = format!("postgres://guarded@127.0.0.1:{}/postgres", stage.postgres.port());
    let envs = [("OUTFLOW_POSTGRES__URL", url.as_str()), ("HOME", "/nowhere")];
    for args in [&["run"][..], &["run", "--once"], &["status"], &["check"], &["dead", "list"]] {
        let asked = stage.asked_with(args, &envs).await;
        let said = format!("{}{}", asked.stdout, asked.stderr);
        // `status` shows what it can, and names what it cannot.
        let code = if args == ["status"] { 69 } else { 78 };
        assert_eq!(asked.code, Some(code), "{args:?}: {said}");
        assert!(
            said.contains("the server asks for a password and the address has none"),
            "{args:?}: {said}"
        );
    }
    let listen = format!("127.0.0.1:{}", free_port().expect("a port"));
    let redis = stage.redis.url();
    let companions: [(&str, &[&str]); 2] = [
        (program("order-api"), &[]),
        (program("order-consumer"), &["--redis-url", &redis, "--consumer", "one"]),
    ];
    for (binary, more) in companions {
        let args = [&["--listen", &listen, "--postgres-url", &url], more].concat();
        let mut program =
            Program::start("companion", Path::new(binary), &args, &envs[1..], stage.path())
                .expect("it");
        let status = program.wait(LIMIT).await.expect("its end");
        assert_eq!(status.code(), Some(78), "{}", program.log());
        assert!(program.log().contains("the server asks for a password"), "{}", program.log());
    }

    // The ways to give one, as libpq has them; that of the environment is tried first.
    let passfile = stage.path().join("passwords");
    std::fs::write(
        &passfile,
        format!("# ours\n127.0.0.1:{}:*:guarded:hunter2\n", stage.postgres.port()),
    )
    .expect("a file");
    let passfile = passfile.to_str().expect("a path");
    let home = stage.path().join("home");
    std::fs::create_dir(&home).expect("a directory");
    std::fs::copy(passfile, home.join(".pgpass")).expect("a file");
    let mode = |file: &Path, mode| {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(Path::new(passfile), 0o600);
    mode(&home.join(".pgpass"), 0o600);
    let home = home.to_str().expect("a path");
    let named = format!("{url}?passfile={passfile}");
    let ways: [&[(&str, &str)]; 4] = [
        &[("OUTFLOW_POSTGRES__URL", &url), ("HOME", "/nowhere"), ("PGPASSWORD", "hunter2")],
        &[("OUTFLOW_POSTGRES__URL", &url), ("HOME", "/nowhere"), ("PGPASSFILE", passfile)],
        &[("OUTFLOW_POSTGRES__URL", &url), ("HOME", home)],
        &[("OUTFLOW_POSTGRES__URL", &named), ("HOME", "/nowhere")],
    ];
    for way in ways {
        stage.asked_with(&["run", "--once"], way).await.data();
    }
    mode(Path::new(passfile), 0o644);
    let open = stage.asked_with(&["run", "--once"], ways[1]).await;
    assert!(open.code == Some(78) && open.stderr.contains("chmod o-rwx"), "{open:?}");
}

#[test]
fn the_environment_wins_in_whichever_form_an_address_is_given() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file");
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o600))
            .expect("a mode");
    };
    file("secret", "postgres://of-the-file@h/d\n");
    file("other", "postgres://of-the-other@h/d\n");
    file(
        "outflow.toml",
        "[postgres]\nurl_file = \"secret\"\nsslmode = \"require\"\n[redis]\nurl = \
            \"redis://of-the-file:x@h\"\n",
    );
    let config = |envs: &[(&str, &str)]| {
        outflow(dir.path(), &["config", "--config", "outflow.toml", "--origin"], envs)
    };

    let (code, text) = config(&[("OUTFLOW_POSTGRES__URL", "postgres://mine@h/d?sslmode=disable")]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("url = \"postgres://mine@h/d?sslmode=disable\"  # OUTFLOW_POSTGRES__URL"),
        "{text}"
    );
    assert!(!text.contains("\nurl_file"), "what does not count is not shown: {text}");
    let (code, text) =
        config(&[("OUTFLOW_REDIS__URL_FILE", "other"), ("OUTFLOW_POSTGRES__URL_FILE", "other")]);
    // An address of Postgres is none of Redis.
    assert!(
        code == Some(78) && text.contains("redis.url") && !text.contains("given as well"),
        "{text}"
    );
    // Empty ones count as unset.
    let empty = [
        ("OUTFLOW_POSTGRES__URL", ""),
        ("OUTFLOW_LOG__LEVEL", ""),
        ("OUTFLOW_REDIS__URL", ""),
        ("OUTFLOW_CONFIG", ""),
    ];
    let (code, text) = config(&empty);
    assert!(
        code == Some(0)
            && text.contains("url_file = \"secret\"")
            && text.contains("redis://of-the-file:***@h"),
        "{text}"
    );
    let (code, text) = outflow(dir.path(), &["check", "--offline"], &empty);
    assert_eq!(code, Some(0), "without any file: {text}");
    // Two in one place are two.
    let two =
        [("OUTFLOW_POSTGRES__URL", "postgres://mine@h/d"), ("OUTFLOW_POSTGRES__URL_FILE", "other")];
    let (code, text) = config(&two);
    assert!(code == Some(78) && text.contains("keep one of them"), "{text}");
}

#[test]
fn a_companions_flag_wins_over_its_variables_and_an_empty_variable_is_unset() {
    let run = |args: &[&str], envs: &[(&str, &str)]| {
        let mut command = Command::new(program("order-api"));
        let output =
            command.args(args).env_clear().envs(envs.iter().copied()).output().expect("order-api");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Each ends at its address, so that it shows which one counts.
    let bad = ["--postgres-url", "postgres://u@h/d?sslmode=mine"];
    let (code, said) = run(&bad, &[("ORDER_API_POSTGRES_URL_FILE", "/nowhere")]);
    assert!(code == Some(78) && said.contains("\"mine\""), "{said}");
    let (code, said) =
        run(&[], &[("ORDER_API_POSTGRES_URL_FILE", "/nowhere"), ("ORDER_API_POSTGRES_URL", "")]);
    assert!(code == Some(78) && said.contains("/nowhere"), "{said}");
    let (code, said) = run(&[], &[("ORDER_API_POSTGRES_URL", ""), ("ORDER_API_LISTEN", "")]);
    assert!(code == Some(2) && said.contains("--postgres-url"), "{said}");
    let (code, said) = run(
        &["--postgres-url", "postgres://u@h/d"],
        &[("ORDER_API_PORT", "tcp://10.0.0.1:8080"), ("ORDER_API_LOG_LEVEL", "=")],
    );
    assert!(code == Some(78) && said.contains("--log-level"), "{said}");
}

#[test]
fn without_an_address_nothing_is_tried() {
    let dir = tempfile::tempdir().expect("a directory");
    let postgres = [("OUTFLOW_POSTGRES__URL", "postgres://u@h/d")];
    let both = [&["run"][..], &["run", "--once"], &["status"], &["check"]];
    for args in both.into_iter().chain([&["migrate"][..], &["dead", "list"]]) {
        let (code, said) = outflow(dir.path(), args, &[]);
        assert!(
            code == Some(78) && said.contains("postgres.url: no address is configured"),
            "{args:?}: {said}"
        );
        if !both.contains(&args) {
            continue;
        }
        let (code, said) = outflow(dir.path(), args, &postgres);
        assert!(
            code == Some(78) && said.contains("redis.url: no address is configured"),
            "{args:?}: {said}"
        );
        assert!(said.contains("OUTFLOW_REDIS__URL"), "{said}");
    }
    for args in [&["check", "--offline"][..], &["config"], &["migrate", "--print"]] {
        let (code, said) = outflow(dir.path(), args, &[]);
        assert_eq!(code, Some(0), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn links_to_a_service_are_ignored_with_a_line_and_typos_are_not() {
    let stage = Stage::new(&outbox("")).await;
    let links = [
        ("OUTFLOW_SERVICE_HOST", "10.0.0.1"),
        ("OUTFLOW_SERVICE_PORT", "9464"),
        ("OUTFLOW_SERVICE_PORT_METRICS", "9464"),
        ("OUTFLOW_PORT", "tcp://10.0.0.1:9464"),
        ("OUTFLOW_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("OUTFLOW_PORT_9464_TCP_PROTO", "tcp"),
        ("OUTFLOW_PORT_9464_TCP_PORT", "9464"),
        ("OUTFLOW_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("OUTFLOW_METRICS_PORT_53_UDP_ADDR", "10.0.0.1"),
    ];
    let run = stage.asked_with(&["run", "--once"], &links).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let told = run.stderr.lines().filter(|line| line.contains("OUTFLOW_SERVICE_HOST")).count();
    assert!(told == 1 && run.stderr.contains("enableServiceLinks: false"), "{run:?}");
    let check = stage.asked_with(&["check", "--offline"], &links).await;
    assert!(
        check.code == Some(0)
            && check.stdout.contains("! warning: configuration: OUTFLOW_METRICS_PORT_53_UDP_ADDR"),
        "{check:?}"
    );
    for (variable, value, suggestion) in [
        ("OUTFLOW_POSTGRES_URL", "postgres://u:hunter2@h/d", "did you mean OUTFLOW_POSTGRES__URL?"),
        ("OUTFLOW_ADMIN_LISTEN", "127.0.0.1:1", "did you mean OUTFLOW_ADMIN__LISTEN?"),
        ("OUTFLOW_PORT", "9464", "known ones are"),
        (
            "OUTFLOW_POSTGRES",
            "postgres://u:hunter2@h/d",
            "the address is postgres.url, or OUTFLOW_POSTGRES__URL",
        ),
    ] {
        let refused = stage.asked_with(&["run", "--once"], &[(variable, value)]).await;
        assert!(refused.code == Some(78) && refused.stderr.contains(suggestion), "{refused:?}");
        assert!(
            refused.stderr.contains(variable) && !refused.stderr.contains("hunter2"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_configuration_with_a_password_that_others_can_read_is_warned_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("outflow.toml");
    let check = |text: &str, mode: u32| {
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
        let (code, said) =
            outflow(dir.path(), &["check", "--offline", "--config", "outflow.toml"], &[]);
        assert!(code == Some(0) && !said.contains("hunter2"), "{said}");
        said.contains("others can read it")
    };
    let table = [
        ("[postgres]\nurl = \"postgres://u:hunter2@h/d\"", 0o644, true),
        ("[postgres]\nurl = \"host=h password=hunter2\"", 0o604, true),
        ("[postgres]\nurl = \"postgres://u@h/d?password=hunter2\"", 0o644, true),
        ("[redis]\nurl = \"redis://:hunter2@h\"", 0o644, true),
        (
            "[redis]\nurl = \"redis-sentinel://h?service_name=m&sentinel_password=hunter2\"",
            0o644,
            true,
        ),
        // As Debian ships it: root:outflow.
        ("[postgres]\nurl = \"postgres://u:hunter2@h/d\"", 0o640, false),
        ("[postgres]\nurl = \"postgres://u:hunter2@h/d\"", 0o600, false),
        ("[postgres]\nurl = \"postgres://u@h/d\"", 0o644, false),
    ];
    for (text, mode, is_warned) in table {
        assert_eq!(check(text, mode), is_warned, "{text} {mode:o}");
    }
}

/// Addresses with a password in every place that it may have been put, rightly or wrongly.
fn places(password: &str) -> Vec<(bool, String)> {
    let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
    let redis = |scheme: &str, more: &str| {
        vec![
            format!("{scheme}://:{password}@h:7{more}"),
            format!("{scheme}://u:{password}@h{more}"),
            format!("{scheme}://{password}@h{more}"),
            format!("{scheme}://h/{password}{more}"),
            format!("{scheme}://h?{password}"),
            format!("{scheme}://h?{password}=x"),
            format!("{scheme}://h?node=:{password}@g:1"),
            format!("{scheme}://h?service_name=m&sentinel_username=u&sentinel_password={password}"),
        ]
    };
    let postgres = [
        format!("postgres://u:{password}@h/d"),
        format!("postgres://u:{password}@h:1,g:2/d?sslmode=disable"),
        format!("postgresql://:{password}@h/d"),
        format!("postgres://u@h/d?password={password}"),
        format!("postgres://u@h/d?password={password}&sslmode=require"),
        format!("postgres://u@h/d?{password}"),
        // With an '@' this would be a host.
        format!("postgres://u:{}", password.replace('@', "")),
        format!("host=h user=u password={password} dbname=d"),
        format!("host=h user=u password='{quoted}' dbname=d"),
        format!("host=h user=u dbname=d password={password}"),
    ];
    let redis =
        ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"]
            .iter()
            .flat_map(|scheme| {
                redis(scheme, if scheme.contains("sentinel") { "?service_name=m" } else { "" })
            });
    postgres.into_iter().map(|url| (true, url)).chain(redis.map(|url| (false, url))).collect()
}

/// What any message may be made of.
fn shown(is_postgres: bool, url: &str, dir: &Path) -> String {
    let secret = SecretString::from(url);
    let direct = if is_postgres {
        match postgres::server(&secret, "test") {
            Ok(server) => format!("{server:?} {} {:?}", server.place(), server.hosts()),
            Err(error) => error.to_string(),
        }
    } else {
        match redis::server(&secret) {
            Ok(server) => format!("{server:?} {:?}", server.host()),
            Err(error) => error.to_string(),
        }
    };
    let (file, server) = (dir.join("outflow.toml"), if is_postgres { "postgres" } else { "redis" });
    let url = serde_json::to_string(url).expect("a string");
    let mut all = direct;
    for text in [
        format!("[{server}]\nurl = {url}"),
        format!("{server} = {url}"),
        format!("[{server}]\nurl_file = {url}"),
        format!("[{server}]\nurl = {url}\nsslmode = \"disable\""),
        format!("[{server}]\nurl = {url}\" x"),
    ] {
        std::fs::write(&file, text).expect("a file");
        let source = Source { file: Some(file.clone()) };
        let said = match (load(&source), show(&source, true)) {
            (Ok(config), Ok(text)) => format!("{config:?}{text}"),
            (Err(problem), _) | (_, Err(problem)) => problem.to_string(),
        };
        all.push_str(&said);
    }
    all
}

/// Pieces that tell something: long enough, and no word of ours.
fn pieces(password: &str) -> Vec<&str> {
    let pieces = password.split(|c: char| !c.is_ascii_alphanumeric());
    pieces
        .filter(|piece| piece.len() >= 4 && piece.bytes().any(|byte| byte.is_ascii_digit()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None,
        ..ProptestConfig::with_cases(24) })]

    #[test]
    fn no_part_of_a_password_is_ever_shown(
        password in "[a-z0-9]{3}[0-9][a-z0-9]{2,6}([-@:/?#&=%+ \
            '\"\\\\$,;~\\[\\]{}|^`<>!*()._][a-z]{2}[0-9]{2}[a-z0-9]{1,4}){0,3}"
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        // Digits alone are the number of a database where one may stand.
        let is_number = password.bytes().all(|byte| byte.is_ascii_digit());
        for (is_postgres, url) in places(&password) {
            if is_number && url.contains(&format!("h/{password}")) {
                continue;
            }
            let shown = shown(is_postgres, &url, dir.path());
            for piece in pieces(&password) {
                prop_assert!(!shown.contains(piece), "{:?} shows {:?}: {}", url, piece, shown);
            }
        }
    }
}

/// The same by the commands themselves, for the mistakes that people make.
#[test]
fn no_command_shows_a_password() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("an address").to_string();
    // Nobody listens at port 1.
    let rows = [
        ("postgres://u:s3c@r3t9@127.0.0.1:1/d", "redis://127.0.0.1:1", "r3t9"),
        ("postgres://u:s3c/r3t9@127.0.0.1:1/d", "redis://127.0.0.1:1", "r3t9"),
        ("postgres://u:r3t9x@127.0.0.1:1/d", "redis://:r3t9x@127.0.0.1:1", "r3t9"),
        ("host=127.0.0.1 port=1 user=u password=r3t9x", "redis://127.0.0.1:1", "r3t9"),
        ("postgres://u@127.0.0.1:1/d", "redis://r3t9x@127.0.0.1:1", "r3t9"),
        ("postgres://u@127.0.0.1:1/d", "redis://:s3c/r3t9@127.0.0.1:1", "r3t9"),
        (
            "postgres://u@127.0.0.1:1/d",
            "redis-sentinel://:r3t9@127.0.0.1:1?service_name=m&sentinel_password=r3t9x",
            "r3t9",
        ),
    ];
    for (postgres, redis, secret) in rows {
        let envs = [
            ("OUTFLOW_POSTGRES__URL", postgres),
            ("OUTFLOW_REDIS__URL", redis),
            ("OUTFLOW_LOG__LEVEL", "trace"),
        ];
        // `status` waits five seconds for Redis; what it and `check` say of an address is the same.
        for args in [&["config", "--origin"][..], &["check", "--offline"], &["run", "--once"]] {
            let (code, said) = outflow(dir.path(), args, &envs);
            assert!(code == Some(0) || !said.is_empty(), "{args:?}");
            assert!(!said.contains(secret), "{args:?} with {postgres} and {redis}: {said}");
        }
        if postgres.contains("u@") || redis.contains("service_name") {
            let (_, said) = outflow(dir.path(), &["status"], &envs);
            assert!(!said.contains(secret), "status with {postgres} and {redis}: {said}");
        }
        let mut api = Command::new(program("order-api"));
        // It ends because somebody listens there.
        let api = api
            .args(["--listen", &taken, "--postgres-url", postgres, "--log-level", "trace"])
            .output();
        let api = api.expect("order-api");
        assert!(!String::from_utf8_lossy(&api.stderr).contains(secret), "{api:?}");
    }
}
