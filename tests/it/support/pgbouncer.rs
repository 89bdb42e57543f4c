//! Debian's `PgBouncer` as a pooler with few server connections: whatever a command leaves in its
//! session is what the application finds in its own.

use std::path::{Path, PathBuf};

use outflow_local::{Program, eventually, free_port};

use super::{LIMIT, tool};

pub(crate) struct PgBouncer {
    port: u16,
    mode: String,
    size: usize,
    dir: PathBuf,
    program: Program,
}

impl PgBouncer {
    /// In front of the server at `server_port`; its files are in `dir`.
    pub(crate) async fn start(server_port: u16, mode: &str, size: usize, dir: &Path) -> Self {
        let port = free_port().expect("a port");
        let (mode, dir) = (mode.to_owned(), dir.to_owned());
        configure(&dir, port, &mode, size, &format!("* = host=127.0.0.1 port={server_port}"));
        let program = launch(&dir, port).await;
        Self { port, mode, size, dir, program }
    }

    /// With this configuration, by which it listens on `port`.
    pub(crate) async fn configured(port: u16, ini: &str, dir: &Path) -> Self {
        std::fs::write(file(dir, port), format!("{ini}unix_socket_dir =\n{}", user()))
            .expect("a file");
        let (program, dir) = (launch(dir, port).await, dir.to_owned());
        Self { port, mode: String::new(), size: 0, dir, program }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address, for the database of a [`Stage`](super::Stage).
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it and all of its connections.
    pub(crate) async fn stop(&mut self) {
        self.program.kill();
        self.program.wait(LIMIT).await.expect("an end");
    }

    /// Starts it again, with the same clients on the same port.
    pub(crate) async fn start_again(&mut self) {
        self.program = launch(&self.dir, self.port).await;
    }

    /// From its next start on, every name leads to this database.
    pub(crate) fn leads_to(&self, server_port: u16, database: &str) {
        let to = format!("* = host=127.0.0.1 port={server_port} dbname={database}");
        configure(&self.dir, self.port, &self.mode, self.size, &to);
    }
}

fn configure(dir: &Path, port: u16, mode: &str, size: usize, databases: &str) {
    let users = dir.join("pgbouncer.users");
    std::fs::write(&users, "\"postgres\" \"\"\n").expect("a file");
    let text = format!(
        "[databases]\n{databases}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = \
         {}\npool_mode = {mode}\n\
         default_pool_size = {size}\n{}",
        users.display(),
        user()
    );
    std::fs::write(file(dir, port), text).expect("a file");
}

/// Root may not run it.
fn user() -> &'static str {
    if nix::unistd::geteuid().is_root() { "user = postgres\n" } else { "" }
}

async fn launch(dir: &Path, port: u16) -> Program {
    let file = file(dir, port).display().to_string();
    let program =
        Program::start("pgbouncer", &tool("pgbouncer"), &[&file], &[], dir).expect("PgBouncer");
    let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    eventually(LIMIT, "PgBouncer to listen", listens)
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", program.log()));
    program
}

fn file(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!("pgbouncer-{port}.ini"))
}
