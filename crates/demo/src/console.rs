//! The console of the demo's relay: where it listens, and the token that lets one in.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use outflow_local::{Error, free_port};

/// What the relay is configured with.
pub(super) struct Console {
    address: String,
    token: PathBuf,
}

impl Console {
    /// Writes a token that nobody can guess, for the user who runs the demo.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Error> {
        let (address, token) = (format!("127.0.0.1:{}", free_port()?), dir.join("console-token"));
        write_token(&token).map_err(Error::io("writing", &token))?;
        Ok(Self { address, token })
    }

    /// Its section of the configuration.
    pub(super) fn section(&self) -> String {
        let Self { address, token } = self;
        format!(
            "[console]\nlisten = \"{address}\"\n[[console.tokens]]\nname = \"demo\"\n\
             role = \"operate\"\nfile = \"{}\"\n",
            token.display()
        )
    }

    /// Where to look, and how to get in.
    pub(super) fn told(&self) -> String {
        format!("http://{}/  (log in with the token in {})", self.address, self.token.display())
    }
}

fn write_token(file: &Path) -> io::Result<()> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{:032x}", u128::from_ne_bytes(bytes))
}
