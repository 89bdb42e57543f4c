//! Debian's `PgBouncer` as a transaction pooler with one server connection: whatever a command
//! leaves in its session is what the application finds in its own.

use std::path::Path;

use outflow_local::{Program, eventually, free_port};

use super::{LIMIT, tool};

pub(crate) struct PgBouncer {
    port: u16,
    _program: Program,
}

impl PgBouncer {
    /// In front of the server at `server_port`; its files are in `dir`.
    pub(crate) async fn start(server_port: u16, mode: &str, size: usize, dir: &Path) -> Self {
        let port = free_port().expect("a port");
        let users = dir.join("pgbouncer.users");
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("a file");
        let user = if nix::unistd::geteuid().is_root() { "user = postgres\n" } else { "" };
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\nlisten_addr = \
                127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = \
             {}\npool_mode = {mode}\n\
             default_pool_size = {size}\n{user}",
            users.display()
        );
        let file = dir.join("pgbouncer.ini");
        std::fs::write(&file, text).expect("a file");
        let file = file.display().to_string();
        let program =
            Program::start("pgbouncer", &tool("pgbouncer"), &[&file], &[], dir).expect("PgBouncer");
        let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        eventually(LIMIT, "PgBouncer to listen", listens)
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", program.log()));
        Self { port, _program: program }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
