//! Debian's `PgBouncer` as a transaction pooler with one server connection: whatever a command
//! leaves in its session is what the application finds in its own.

use std::path::{Path, PathBuf};

use outflow_local::{Program, eventually, free_port};

use super::LIMIT;

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
            Program::start("pgbouncer", &program(), &[&file], &[], dir).expect("PgBouncer");
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

/// In PATH, or where Debian has it.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files =
        std::env::split_paths(&path).chain(["/usr/sbin".into()]).map(|dir| dir.join("pgbouncer"));
    files.find(|file| file.is_file()).expect("pgbouncer (scripts/install-servers.sh installs it)")
}
