//! Every wrong configuration with its message: where, which key, what is expected; never a secret.

use crate::support::{Stage, outbox};

const SECRET: &str = "hunter2";

/// What is written in the file, and the words that the message must have.
#[expect(clippy::too_many_lines, reason = "a table")]
fn wrong() -> Vec<(String, Vec<&'static str>)> {
    let outbox = |line: &str| format!("[[outbox]]\n{line}\n");
    let console = |lines: &str| format!("[console]\n{lines}\n");
    let token = |lines: &str| format!("[[console.tokens]]\n{lines}\n");
    let columns = |line: &str| format!("[[outbox]]\n[outbox.columns]\n{line}\n");
    let keep = |line: &str| format!("[[outbox]]\n[outbox.keep]\n{line}\n");
    let trim = |lines: &str| format!("[[outbox]]\n[outbox.trim]\n{lines}\n");
    vec![
        ("nonsense".into(), vec!["outflow.toml", "line 1"]),
        ("[postgres]\nurl = \"postgres://u:hunter2@h".into(), vec!["outflow.toml", "line 2"]),
        ("[postgrse]\nurl = \"x\"".into(), vec!["postgrse", "did you mean \"postgres\"?"]),
        (
            "[redis]\nurll = \"x\"".into(),
            vec![
                "outflow.toml",
                "redis.urll",
                "did you mean \
            \"url\"?",
            ],
        ),
        ("[redis]\nurl = 6379".into(), vec!["redis.url", "expected a string"]),
        ("[redis]\nurl = \"http://:hunter2@h\"".into(), vec!["redis.url", "expected redis://"]),
        (
            "[redis]\nurl = \"redis-sentinel://:hunter2@h\"".into(),
            vec!["redis.url", "needs service_name=NAME"],
        ),
        (
            "[redis]\nurl = \"redis-cluster://:hunter2@h\"".into(),
            vec![
                "outbox.0.stream",
                "in one slot of the Redis cluster",
                "\"{{orders}}.events.{aggregate_type}\"",
            ],
        ),
        (outbox("max_len = 5"), vec!["outbox.0.max_len", "[outbox.trim]", "max_len = 5"]),
        (outbox("max_len = 0"), vec!["outbox.0.max_len", "remove it"]),
        (trim("when = \"always\""), vec!["outbox.0.trim.when", "never, consumed, length"]),
        (trim("max_len = 5"), vec!["outbox.0.trim.max_len", "no effect with when = \"never\""]),
        (trim("when = \"length\""), vec!["outbox.0.trim.when", "max_len or max_age"]),
        (
            trim("when = \"length\"\nmax_len = 5\nkeep_read = \"1h\""),
            vec!["outbox.0.trim.keep_read", "set when = \"consumed\""],
        ),
        (trim("groups = [\"a\", \"a\"]"), vec!["outbox.0.trim.groups", "\"a\" is named twice"]),
        (trim("groups = [\"\"]"), vec!["outbox.0.trim.groups", "a name is empty"]),
        (trim("groups = \"a\""), vec!["outbox.0.trim.groups", "expected"]),
        (trim("when = \"consumed\"\nmax_len = -1"), vec!["outbox.0.trim.max_len", "expected"]),
        (
            trim("when = \"consumed\"\nmax_age = \"1us\""),
            vec!["outbox.0.trim.max_age", "expected whole ms"],
        ),
        (
            trim("when = \"consumed\"\nmax_age = \"200years\""),
            vec!["outbox.0.trim.max_age", "100 years at most"],
        ),
        (outbox("lag_max = 5"), vec!["outbox.0.lag_max", "set trim.groups"]),
        (
            "[redis]\nmemory_pause = \"85\"".into(),
            vec!["redis.memory_pause", "found \"85\"", "such as \"85%\""],
        ),
        ("[redis]\nmemory_pause = 85".into(), vec!["redis.memory_pause", "such as \"85%\""]),
        ("[redis]\nmemory_pause = \"101%\"".into(), vec!["redis.memory_pause", "\"101%\""]),
        ("[redis]\nmemory_pause = \"75%\"".into(), vec!["redis.memory_resume", "less than"]),
        ("[redis]\nmemory_resume = 0".into(), vec!["redis.memory_resume", "less than"]),
        ("[redis]\nmemory_pause = true".into(), vec!["redis.memory_pause", "such as \"85%\""]),
        ("[redis]\nwait_replicas = 17".into(), vec!["redis.wait_replicas", "0 to 16"]),
        ("[redis]\nwait_replicas = -1".into(), vec!["redis.wait_replicas", "expected usize"]),
        (
            "[redis]\nurl = \"redis-cluster://:hunter2@h/1\"".into(),
            vec![
                "redis.url",
                "database 0 \
            only",
            ],
        ),
        (
            "[redis]\nurl = \"rediss://:hunter2@h\"\nssl_ca_certs = \"/nowhere\"".into(),
            vec!["redis.url", "ssl_ca_certs: /nowhere: there is no such file"],
        ),
        (
            "[redis]\nurl = \"redis://:hunter2@h\"\nssl_ca_certs = \"/nowhere\"".into(),
            vec!["redis.url", "ssl_ca_certs and the like are used with rediss:// only"],
        ),
        (
            "[redis]\nurl = \"rediss://:hunter2@h?ssl_keyfile=a\"\nssl_keyfile = \"b\"".into(),
            vec!["redis.ssl_keyfile", "keep one of them"],
        ),
        (
            "[redis]\nurl = \"rediss://:hunter2@h?ssl_cert_reqs=none\"".into(),
            vec!["redis.url", "ssl_cert_reqs"],
        ),
        ("[postgres]\nurl = \"hunter2\"".into(), vec!["postgres.url", "expected postgres://"]),
        (
            "[postgres]\nurl = \"postgres://u:hunter2@h/d?sslmode=allow\"".into(),
            vec!["postgres.url", "\"allow\"", "expected disable, prefer"],
        ),
        (
            "[postgres]\nurl = \"postgres://u:hunter2@h/d\"\nsslmode = \"verify-ca\"".into(),
            vec!["postgres.url", "verify-ca needs a file in sslrootcert"],
        ),
        (
            "[postgres]\nurl = \"postgres://u:hunter2@h/d?sslmode=require\"\nsslmode = \
                \"disable\""
                .into(),
            vec!["postgres.sslmode", "keep one of them"],
        ),
        (
            "[postgres]\nurl = \
                \"postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/nowhere\""
                .into(),
            vec!["postgres.url", "sslrootcert: /nowhere: there is no such file"],
        ),
        (
            "[postgres]\nurl = \"postgres://u@h/d\"\nurl_file = \"x\"".into(),
            vec!["postgres.url_file", "keep one"],
        ),
        (
            "[postgres]\nurl_file = \"/nowhere\"".into(),
            vec!["postgres.url_file", "/nowhere", "No such file"],
        ),
        ("[admin]\nlisten = \"9464\"".into(), vec!["admin.listen", "\"9464\"", "127.0.0.1:9464"]),
        (console("listen = \"9465\""), vec!["console.listen", "\"9465\"", "127.0.0.1:9465"]),
        (
            console("listen = \"127.0.0.1:9465\""),
            vec!["console.tokens", "nobody could log in", "openssl rand", "console.anonymous"],
        ),
        (console("listen = \"0.0.0.0:1\""), vec!["console.tokens", "open to other machines"]),
        (
            console("listen = \"0.0.0.0:1\"\nanonymous = \"read\""),
            vec!["console.anonymous", "loopback addresses only", "give tokens"],
        ),
        (console("anonymous = \"admin\""), vec!["console.anonymous", "\"admin\"", "read, operate"]),
        (console("payloads = \"nobody\""), vec!["console.payloads", "nobody", "operate"]),
        (console("tokens = [\"hunter2\"]"), vec!["console.tokens"]),
        (token("name = \"a\"\nrole = \"admin\"\nfile = \"/f\""), vec!["console.tokens.0.role"]),
        (token("name = \"a b\"\nrole = \"read\"\nfile = \"/f\""), vec!["console.tokens.0.name"]),
        (
            token("name = \"a\"\nrole = \"read\"\nfile = \"\""),
            vec!["console.tokens.0.file", "empty"],
        ),
        (
            token("name = \"a\"\nrole = \"read\"\ntoken = \"hunter2\""),
            vec!["console.tokens.0", "unknown key"],
        ),
        (
            token("name = \"a\"\nrole = \"read\"\nfile = \"/f\"").repeat(2),
            vec!["console.tokens.1.name", "names must differ"],
        ),
        (console("session_idle = \"0s\""), vec!["console.session_idle", "1s to 7days"]),
        (console("session_max = \"8d\""), vec!["console.session_max", "1s to 7days"]),
        (console("hosts = [\"https://h\"]"), vec!["console.hosts", "console.example.com"]),
        (console("sslcert = \"/c\""), vec!["console.sslcert", "needs sslkey"]),
        (console("sslkey = \"/k\""), vec!["console.sslkey", "needs sslcert"]),
        (console("proxy_from = [\"h\"]"), vec!["console.proxy_from", "10.0.0.0/8"]),
        (console("proxy_header = \"X-User\""), vec!["console.proxy_header", "console.proxy_from"]),
        (
            console("proxy_from = [\"::1\"]\nproxy_header = \"Host\""),
            vec!["console.proxy_header", "only the proxy sets"],
        ),
        ("[log]\nlevel = \"loud=very\"".into(), vec!["log.level", "loud", "expected error, warn"]),
        ("[log]\nformat = \"xml\"".into(), vec!["log.format", "xml", "auto"]),
        ("[tracing]\nendpoint = \"https://h:4318\"".into(), vec!["tracing.endpoint", "not https"]),
        (
            "[tracing]\nendpoint = \"h:4317\"".into(),
            vec!["tracing.endpoint", "http://127.0.0.1:4318"],
        ),
        ("shutdown_grace = \"soon\"".into(), vec!["shutdown_grace", "soon", "duration"]),
        ("shutdown_grace = 5".into(), vec!["shutdown_grace", "5", "duration"]),
        ("outbox = []".into(), vec!["outbox", "at least one"]),
        (outbox("tabel = \"x\""), vec!["outbox.0.tabel", "did you mean \"table\"?"]),
        (outbox("table = \"a.b.c\""), vec!["outbox.0.table", "a.b.c", "expected a table"]),
        (outbox("table = \"\""), vec!["outbox.0.table", "is empty"]),
        (outbox("name = \"a b\""), vec!["outbox.0.name", "a b", "expected"]),
        (
            outbox("stream = \"events.{\""),
            vec![
                "outbox.0.stream",
                "not closed",
                "expected a \
            stream name",
            ],
        ),
        (outbox("stream = \"events.{}\""), vec!["outbox.0.stream", "no column name"]),
        (outbox("format = \"avro\""), vec!["outbox.0.format", "avro", "cloudevents"]),
        (outbox("batch_rows = 0"), vec!["outbox.0.batch_rows", "found 0", "1 to 10000"]),
        (outbox("batch_rows = -1"), vec!["outbox.0.batch_rows", "-1"]),
        (outbox("batch_rows = \"many\""), vec!["outbox.0.batch_rows", "many"]),
        (outbox("batch_bytes = \"4 parsecs\""), vec!["outbox.0.batch_bytes"]),
        (outbox("batch_bytes = \"1B\""), vec!["outbox.0.batch_bytes", "expected a size from"]),
        (outbox("in_flight = 99"), vec!["outbox.0.in_flight", "found 99", "1 to 16"]),
        (outbox("poll_interval = \"0s\""), vec!["outbox.0.poll_interval", "10ms"]),
        (outbox("linger = \"2s\""), vec!["outbox.0.linger", "found 2s", "0s to 1s"]),
        (outbox("settle = \"forget\""), vec!["outbox.0.settle", "forget", "delete", "keep"]),
        (
            outbox("settle = \"mark\""),
            vec!["outbox.0.settle", "settle = \"keep\"", "docs/keeping.md"],
        ),
        (
            columns("settled = \"x\""),
            vec!["outbox.0.columns.settled", "settle = \"keep\"", "docs/keeping.md"],
        ),
        (columns("settled = \"\""), vec!["outbox.0.columns.settled", "remove it"]),
        (keep("for = \"59m\""), vec!["outbox.0.keep.for", "found 59m", "1h to 366d"]),
        (keep("for = \"367d\""), vec!["outbox.0.keep.for", "1h to 366d"]),
        (keep("for = \"3600500ms\""), vec!["outbox.0.keep.for", "whole seconds"]),
        (keep("for = \"soon\""), vec!["outbox.0.keep.for", "soon"]),
        (keep("on_loss = \"panic\""), vec!["outbox.0.keep.on_loss", "panic", "resend"]),
        (keep("layout = \"heap\""), vec!["outbox.0.keep.layout", "heap", "ring"]),
        (keep("days = 7"), vec!["outbox.0.keep.days", "unknown key"]),
        (
            outbox("settle = \"keep\"\n[outbox.columns]\nxid = \"\""),
            vec!["outbox.0.columns.xid", "is empty"],
        ),
        (columns("id = \"\""), vec!["outbox.0.columns.id", "is empty"]),
        (columns("payloda = \"x\""), vec!["outbox.0.columns.payloda", "did you mean \"payload\"?"]),
        (
            "[[outbox]]\nname = \"a\"\n[[outbox]]\nname = \"a\"\ntable = \"b\"".into(),
            vec!["outbox.1.name", "names must differ"],
        ),
        (
            "[[outbox]]\nname = \"a\"\n[[outbox]]\nname = \"b\"".into(),
            vec!["outbox.1.table", "each table once"],
        ),
    ]
}

#[tokio::test]
async fn a_wrong_configuration_exits_78_and_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = wrong();
    for (text, words) in &table {
        let (code, output) = outflow(dir.path(), text, &[]).await;
        assert_eq!(code, Some(78), "{text:?} gave {output}");
        for word in words {
            assert!(output.contains(word), "{text:?} gave {output:?}, without {word:?}");
        }
        assert!(!output.contains(SECRET), "{text:?} printed the secret: {output}");
    }
}

#[tokio::test]
async fn the_environment_overrides_the_file_and_is_named_in_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let table = [
        (("OUTFLOW_REDIS__URL", "http://:hunter2@h"), "redis.url"),
        (("OUTFLOW_REDIS__UR", "x"), "did you mean \"url\"?"),
        (("OUTFLOW_ADMIN__LISTEN", "x"), "admin.listen"),
        (("OUTFLOW_LOG__FORMAT", "xml"), "OUTFLOW_LOG__FORMAT"),
    ];
    for (variable, word) in table {
        let (code, output) = outflow(dir.path(), "", &[variable]).await;
        assert_eq!(code, Some(78), "{variable:?} gave {output}");
        assert!(output.contains(word), "{variable:?} gave {output:?}, without {word:?}");
        assert!(!output.contains(SECRET), "{variable:?} printed the secret: {output}");
    }
}

#[tokio::test]
async fn a_missing_file_and_a_wrong_flag_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_outflow"));
    let table: [(&[&str], i32, &str); 4] = [
        (&["run", "--config", "/nowhere.toml"], 78, "/nowhere.toml: there is no such file"),
        (&["run", "--twice"], 2, "--twice"),
        (&["rnu"], 2, "'rnu'"),
        (&[], 2, "Usage"),
    ];
    for (number, (args, code, word)) in table.iter().enumerate() {
        let name = format!("flags-{number}");
        let mut program =
            outflow_local::Program::start(&name, binary, args, &[], dir.path()).expect("outflow");
        let status = program.wait(crate::support::LIMIT).await.expect("an end");
        assert_eq!(status.code(), Some(*code), "{args:?}: {}", program.log());
        assert!(program.log().contains(word), "{args:?}: {}", program.log());
    }
}

/// A file with the example's whole text means the same as no file at all.
#[test]
fn the_example_is_the_default() {
    use outflow::config::{EXAMPLE, Source, load};
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("example.toml");
    std::fs::write(&file, EXAMPLE).expect("a file");
    let example = load(&Source { file: Some(file) }).expect("a configuration");
    let default = load(&Source { file: None }).expect("a configuration");
    assert_eq!(example.outboxes, default.outboxes);
    assert_eq!(format!("{example:?}"), format!("{default:?}"));
    assert!(!format!("{example:?}").contains("outflow@"), "addresses are secrets");
}

/// The line that is printed mends it. As systemd hands a credential over, its bare name is enough.
#[tokio::test]
async fn a_secret_that_others_can_read_is_refused() {
    let stage = Stage::new(&outbox("")).await;
    let file = stage.path().join("postgres-url");
    std::fs::write(&file, format!("{}?options=-c%20work_mem=4MB\n", stage.postgres.url()))
        .expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("a mode");
    let text = std::fs::read_to_string(stage.path().join("outflow.toml")).expect("a file");
    let text =
        text.replace(&format!("url = \"{}\"", stage.postgres.url()), "url_file = \"postgres-url\"");
    std::fs::write(stage.path().join("outflow.toml"), text).expect("a file");
    let envs = [("CREDENTIALS_DIRECTORY", stage.path().to_str().expect("a path"))];
    for args in [&["check", "--offline"][..], &["run", "--once"]] {
        let refused = stage.asked_with(args, &envs).await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(
            said.contains("postgres.url_file") && said.contains("others can read it (mode 0644)"),
            "{said}"
        );
        assert!(said.contains("defaultMode: 0440") && !said.contains("work_mem"), "{said}");
    }
    let refused = stage.asked_with(&["check", "--offline"], &envs).await.stdout;
    let line = refused
        .split_once("run: ")
        .and_then(|(_, rest)| rest.split_once(" ("))
        .expect("a line to run")
        .0;
    assert!(
        std::process::Command::new("sh").args(["-c", line]).status().expect("sh").success(),
        "{line}"
    );
    let checked = stage.asked_with(&["check"], &envs).await.data();
    assert!(
        checked.contains(&format!("✓ ok: configuration: {} is closed to others", file.display())),
        "{checked}"
    );
    stage.asked_with(&["run", "--once"], &envs).await.data();
    let nowhere = stage.asked(&["check", "--offline"]).await;
    assert!(nowhere.stdout.contains("postgres-url: No such file"), "{nowhere:?}");
}

/// What the servers know better: a table, a column, a privilege, a registration is missing.
#[tokio::test]
async fn what_is_missing_in_postgres_is_named_with_its_remedy() {
    let stage = Stage::bare(&outbox("")).await;
    let refused = async |words: &[&str]| {
        let (code, log) = stage.finished("refused", &["run", "--once"]).await;
        assert_eq!(code, Some(78), "{log}");
        let last = log.lines().last().unwrap_or_default().to_owned();
        for word in words {
            assert!(last.contains(word), "{last:?} has no {word:?}");
        }
    };
    refused(&["orders", "public.outbox", "outflow migrate"]).await;
    stage.sql("create table outbox (id bigint primary key)").await;
    refused(&["orders", "schema outflow", "outflow migrate"]).await;
    stage.sql("drop table outbox").await;
    stage.migrate().await;
    stage.configure(&outbox("[outbox.columns]\nkey = \"customer\""));
    refused(&["columns.key", "\"customer\"", "aggregate_id"]).await;
    stage.configure(&outbox("").replace("{aggregate_type}", "{kind}"));
    refused(&["stream", "\"kind\"", "aggregate_type"]).await;
    stage.configure(&outbox("").replace("public.outbox", "app.other"));
    refused(&["app.other", "there is no table"]).await;
    stage.configure(&outbox("").replace("name = \"orders\"", "name = \"others\""));
    stage.sql("create role poor login").await;
    let config = std::fs::read_to_string(stage.path().join("outflow.toml")).expect("a file");
    std::fs::write(
        stage.path().join("outflow.toml"),
        config.replace("postgres://postgres@", "postgres://poor@"),
    )
    .expect("a file");
    // Usage of the schema outflow is needed to see the rest; all of it is told at once.
    let grants = [
        "grant select, delete, update (\"id\") on \"public\".\"outbox\" to \"poor\";",
        "grant usage on schema \"outflow\" to \"poor\";",
        "grant select, update on \"outflow\".\"outbox\" to \"poor\";",
        "grant insert, select, delete, update (\"report\") on \"outflow\".\"member\" to \"poor\";",
        "grant insert on \"outflow\".\"dead_letter\" to \"poor\";",
        "grant select, insert, update, delete on \"outflow\".\"witness\" to \"poor\";",
        "grant select on \"outflow\".\"pause\" to \"poor\";",
    ];
    refused(&grants).await;
    for (number, grant) in grants.iter().enumerate() {
        refused(&grants[number..]).await;
        stage.sql(grant).await;
    }
    // Least privilege is enough for the whole job.
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ('order', 'k', 'T', '{}'), ('', 'k', 'T', '{}')",
        )
        .await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 1);
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 1);
}

async fn outflow(
    dir: &std::path::Path,
    text: &str,
    envs: &[(&str, &str)],
) -> (Option<i32>, String) {
    let file = dir.join("outflow.toml");
    std::fs::write(&file, text).expect("a file");
    let log = dir.join("outflow.log");
    // One log a run.
    let _ = std::fs::remove_file(&log);
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_outflow"));
    let config = file.display().to_string();
    let args = ["run", "--once", "--config", &config];
    let mut program =
        outflow_local::Program::start("outflow", binary, &args, envs, dir).expect("outflow");
    let status = program.wait(crate::support::LIMIT).await.expect("an end");
    (status.code(), program.log())
}
