//! A stage whose servers speak TLS.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;

use outflow_local::{eventually, free_port};

use crate::support::{Authority, Identity, LIMIT, Stage, Valid, outbox};

/// Lines for roles of the tests; all others come in as they like.
const ACCESS: &str = "hostssl all client all trust clientcert=verify-ca\nhost all client all \
    reject\n\
                      host all scram all scram-sha-256\nhost all all all trust\n";

pub(super) struct Secured {
    pub(super) stage: Stage,
    /// Who has signed the servers' certificates, and those of clients.
    pub(super) authority: Authority,
    /// Somebody else.
    pub(super) stranger: Authority,
    pub(super) redis_port: u16,
}

impl Secured {
    /// Servers with certificates for this machine.
    pub(super) async fn new() -> Self {
        let stage = Stage::new(&outbox("")).await;
        let authority = Authority::new(stage.path(), "authority");
        let stranger = Authority::new(stage.path(), "stranger");
        let secured = Self { stage, authority, stranger, redis_port: free_port().expect("a port") };
        secured
            .stage
            .sql("create role client login superuser; create role scram login password 'hunter2'")
            .await;
        std::fs::write(secured.data().join("pg_hba.conf"), ACCESS).expect("a file");
        let server = secured.authority.sign("server", &["localhost", "127.0.0.1"], Valid::Now);
        secured.serve(&server).await;
        secured
    }

    /// Both servers have another certificate from here on.
    pub(super) async fn serve(&self, server: &Identity) {
        self.serve_postgres(server).await;
        self.serve_redis(server, "no").await;
    }

    pub(super) async fn serve_postgres(&self, server: &Identity) {
        let (data, owner) = (self.data(), std::fs::metadata(self.data()).expect("a directory"));
        // New names each time, so that it shows when they are in use.
        let name = uuid::Uuid::new_v4().simple().to_string();
        for (from, to) in
            [(&server.certificate, format!("{name}.crt")), (&server.key, format!("{name}.key"))]
        {
            std::fs::copy(from, data.join(&to)).expect("a file");
            chown(data.join(&to), Some(owner.uid()), Some(owner.gid())).expect("an owner");
        }
        let authority = data.join("authority.pem");
        std::fs::copy(&self.authority.file, &authority).expect("a file");
        chown(&authority, Some(owner.uid()), Some(owner.gid())).expect("an owner");
        let settings = [("ssl", "on".to_owned()), ("ssl_ca_file", "authority.pem".to_owned())];
        let files =
            [("ssl_cert_file", format!("{name}.crt")), ("ssl_key_file", format!("{name}.key"))];
        self.set(&settings.into_iter().chain(files).collect::<Vec<_>>()).await;
    }

    pub(super) async fn without_tls(&self) {
        self.set(&[("ssl", "off".to_owned())]).await;
    }

    async fn set(&self, settings: &[(&str, String)]) {
        let client = self.stage.client().await;
        for (name, value) in settings {
            client
                .batch_execute(&format!("alter system set {name} = '{value}'"))
                .await
                .expect("a setting");
        }
        client.batch_execute("select pg_reload_conf()").await.expect("a reload");
        let (name, value) = settings.last().expect("a setting");
        // A new session shows what the next one gets.
        eventually(LIMIT, "the settings", async || {
            let row =
                self.stage.client().await.query_one("select current_setting($1)", &[name]).await;
            row.is_ok_and(|row| row.get::<_, String>(0) == *value)
        })
        .await
        .expect("the settings");
    }

    /// `clients`: whether they must show certificates of their own, `yes` or `no`.
    pub(super) async fn serve_redis(&self, server: &Identity, clients: &str) {
        let file = |path: &PathBuf| path.display().to_string();
        let (certificate, key, authority) =
            (file(&server.certificate), file(&server.key), file(&self.authority.file));
        let port = self.redis_port.to_string();
        let args = [
            "SET",
            "tls-cert-file",
            &certificate,
            "tls-key-file",
            &key,
            "tls-ca-cert-file",
            &authority,
            "tls-auth-clients",
            clients,
            "tls-port",
            &port,
        ];
        self.stage.command("CONFIG", &args).await;
    }

    fn data(&self) -> PathBuf {
        self.stage.path().join("postgres")
    }

    /// An address of Postgres with these parameters.
    pub(super) fn postgres_url(&self, user: &str, host: &str, parameters: &str) -> String {
        format!("postgres://{user}@{host}:{}/postgres?{parameters}", self.stage.postgres.port())
    }
}
