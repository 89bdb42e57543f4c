//! Certificates made for a test: authorities, and what they sign.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
    /// Its own certificate.
    pub(crate) file: PathBuf,
}

/// A certificate and its key, as files.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Valid {
    Now,
    NotYet,
    NoMore,
    /// For some days more.
    Days(i64),
}

impl Authority {
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = dir.join(format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), dir: dir.to_owned(), file }
    }

    /// Signs a certificate for these host names and addresses.
    pub(crate) fn sign(&self, name: &str, hosts: &[&str], valid: Valid) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        match valid {
            Valid::Now => {}
            Valid::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
            Valid::NoMore => params.not_after = date_time_ymd(2020, 1, 1),
            Valid::Days(days) => {
                let until = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
                let date = until.to_zoned(jiff::tz::TimeZone::UTC).date();
                let part = |number: i8| u8::try_from(number).expect("positive");
                params.not_after =
                    date_time_ymd(date.year().into(), part(date.month()), part(date.day()));
            }
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |ending: &str| self.dir.join(format!("{name}.{ending}"));
        let identity = Identity { certificate: file("crt"), key: file("key") };
        std::fs::write(&identity.certificate, certificate.pem()).expect("a file");
        std::fs::write(&identity.key, key.serialize_pem()).expect("a file");
        std::fs::set_permissions(&identity.key, std::fs::Permissions::from_mode(0o600))
            .expect("a mode");
        identity
    }
}
