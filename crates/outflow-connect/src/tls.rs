//! TLS for the connections to both servers: what is verified, with which certificates, and failures
//! in words.
//!
//! rustls with one provider, ring: it needs a C compiler and nothing else, for a static build too
//! (aws-lc-rs, the other choice, compiles a far larger library, and wants cmake on some targets). A
//! second provider in one program would be a panic at the first connection; so each configuration
//! here names its provider.

mod server;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::secret_file;
use outflow_core::fault::{Fault, FaultKind};

pub use server::server;

/// In place of a file: the authorities that the system trusts.
pub const SYSTEM: &str = "system";

/// What a server must prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Nothing. The connection is encrypted, but a man in the middle can read it.
    Nothing,
    /// That a trusted authority signed its certificate.
    Authority,
    /// That a trusted authority signed its certificate, and that it is for the host of the address.
    AuthorityAndName,
}

/// Certificates of a connection, as PEM files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Authorities to trust; `None`, or the word `system`: those of the system.
    pub authorities: Option<PathBuf>,
    /// Our own certificate, with those between it and its authority.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

impl Files {
    /// Those that are given, as they are opened.
    pub fn paths(&self) -> Vec<PathBuf> {
        let files = [&self.authorities, &self.certificate, &self.key].into_iter().flatten();
        files
            .filter(|file| *file != Path::new(SYSTEM))
            .map(|file| secret_file::resolve(file))
            .collect()
    }
}

/// Files with what they held when they were read: a certificate is renewed under its old name.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Held(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Held {
    /// Read before the configuration that is made of them: a file that is replaced in between
    /// counts as changed the next time.
    pub(crate) fn by(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(paths.into_iter().map(|file| (file.clone(), std::fs::read(file).ok())).collect())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(file, _)| file.as_path())
    }
}

/// Names of the parameters that set [`Files`], for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// Of [`Files::authorities`].
    pub authorities: &'static str,
    /// Of [`Files::certificate`].
    pub certificate: &'static str,
    /// Of [`Files::key`].
    pub key: &'static str,
}

/// Reads the files and puts a configuration together.
///
/// # Errors
/// Which file cannot be used, why, and what to do.
pub fn client(verify: Verify, files: &Files, names: &Names) -> Result<ClientConfig, Fault> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::configuration(error.to_string()).because(error))?;
    let builder = match verify {
        Verify::AuthorityAndName => builder.with_root_certificates(authorities(files, names)?),
        Verify::Authority => {
            let authorities = Some(authorities(files, names)?);
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoName { provider, authorities }))
        }
        Verify::Nothing => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoName { provider, authorities: None })),
    };
    match identity(files, names)? {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            let (certificate, key) = (names.certificate, names.key);
            let what = format!("{certificate} and {key} do not fit together: {error}");
            Fault::configuration(what).because(error)
        }),
    }
}

fn authorities(files: &Files, names: &Names) -> Result<RootCertStore, Fault> {
    let mut store = RootCertStore::empty();
    match &files.authorities {
        Some(file) if file != Path::new(SYSTEM) => {
            for certificate in certificates(file, names.authorities)? {
                let added = store.add(certificate);
                added.map_err(|error| {
                    let what = format!("{}: {}: {error}", names.authorities, file.display());
                    Fault::configuration(what).because(error)
                })?;
            }
        }
        _ => {
            // What cannot be read there is not trusted; that there is nothing at all is said.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        let remedy = format!("install ca-certificates, or let {} name a file", names.authorities);
        return Err(Fault::configuration("this system trusts no authority").remedy(remedy));
    }
    Ok(store)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(files: &Files, names: &Names) -> Result<Option<Identity>, Fault> {
    match (&files.certificate, &files.key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate, names.certificate)?;
            let file = secret_file::resolve(key);
            secret_file::check(&file).map_err(|fault| fault.at(names.key))?;
            let key = PrivateKeyDer::from_pem_file(&file)
                .map_err(|error| unreadable(&file, names.key, error))?;
            Ok(Some((chain, key)))
        }
        (Some(_), None) => Err(half(names.certificate, names.key)),
        (None, Some(_)) => Err(half(names.key, names.certificate)),
    }
}

fn half(given: &str, other: &str) -> Fault {
    Fault::configuration(format!("{given} needs {other} as well"))
}

fn certificates(file: &Path, name: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let file = secret_file::resolve(file);
    let failed = |error: pem::Error| unreadable(&file, name, error);
    let certificates =
        CertificateDer::pem_file_iter(&file).map_err(failed)?.collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(failed)?;
    if certificates.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(certificates) }
}

fn unreadable(file: &Path, name: &str, error: pem::Error) -> Fault {
    let file = file.display();
    let what = match &error {
        pem::Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            format!("{name}: {file}: there is no such file")
        }
        pem::Error::Io(error) => format!("{name}: {file}: {error}"),
        _ => format!("{name}: {file}: expected PEM (a key without a passphrase)"),
    };
    Fault::configuration(what).because(error)
}

/// Checks who has signed a certificate, if authorities are given, and never the name. That the
/// server holds the certificate's key is checked always.
#[derive(Debug)]
struct NoName {
    provider: Arc<CryptoProvider>,
    authorities: Option<RootCertStore>,
}

impl ServerCertVerifier for NoName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(authorities) = &self.authorities {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                authorities,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What a failure of TLS means and what to do about it, as a fault of kind `Insecure`; `None` if it
/// is none that is known here.
///
/// Found by the names that rustls gives: fred keeps of an error nothing but its text. A test makes
/// each from the real error, so that a new version with other names is noticed.
pub fn explain(text: &str, names: &Names) -> Option<Fault> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let Names { authorities, certificate, key } = names;
    let refused = [
        "UnknownCA",
        "BadCertificate",
        "CertificateUnknown",
        "CertificateExpired",
        "CertificateRevoked",
    ];
    let (what, remedy) = if has(&refused) {
        let remedy = format!(
            "let {certificate} name one that its authority has signed and that has not expired"
        );
        ("the server refuses our certificate", remedy)
    } else if has(&["UnknownIssuer", "BadSignature"]) {
        let remedy = format!("let {authorities} name its authority's certificate");
        ("the server's certificate is signed by nobody who is trusted here", remedy)
    } else if has(&["CaUsedAsEndEntity"]) {
        let remedy = format!(
            "give the server one that is signed by it, and let {authorities} name the authority's"
        );
        ("the server's certificate is an authority's own (self-signed)", remedy)
    } else if has(&["NotValidForName", "not valid for name"]) {
        let remedy = "let the url have the name that is in the certificate, or give the server a \
            certificate for this one";
        ("the server's certificate is for another name", remedy.to_owned())
    } else if has(&["Expired", "certificate expired"]) {
        let remedy = "renew it there (or set the clock right here)";
        ("the server's certificate has expired", remedy.to_owned())
    } else if has(&["NotValidYet", "not valid yet"]) {
        ("the server's certificate is not valid yet", "compare the clocks".to_owned())
    } else if has(&["CertificateRequired", "valid client certificate"]) {
        let remedy = format!("let {certificate} and {key} name ours");
        ("the server asks for a client certificate", remedy)
    } else if has(&["InvalidContentType", "corrupt message", "does not support TLS"]) {
        let remedy = "switch TLS on in the server, or correct host and port";
        ("the server does not offer TLS there", remedy.to_owned())
    } else if has(&[
        "ProtocolVersion",
        "HandshakeFailure",
        "PeerIncompatible",
        "peer is incompatible",
    ]) {
        let remedy = "the server must offer TLS 1.2 or 1.3";
        ("no TLS version or cipher in common", remedy.to_owned())
    } else {
        return None;
    };
    Some(Fault::new(FaultKind::Insecure, what).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

    use super::*;

    const NAMES: Names = Names { authorities: "the_ca", certificate: "the_cert", key: "the_key" };

    /// As both clients show them: tokio-postgres in words, fred for debugging.
    #[test]
    fn every_failure_says_what_to_do() {
        let name = || ServerName::try_from("db").expect("a name").to_owned();
        let time = UnixTime::now();
        let invalid = |error| Error::InvalidCertificate(error);
        let table = [
            (invalid(CertificateError::UnknownIssuer), "the_ca"),
            (invalid(CertificateError::NotValidForName), "another name"),
            (
                invalid(CertificateError::NotValidForNameContext {
                    expected: name(),
                    presented: vec![],
                }),
                "another name",
            ),
            (invalid(CertificateError::Expired), "has expired"),
            (invalid(CertificateError::ExpiredContext { time, not_after: time }), "has expired"),
            (invalid(CertificateError::NotValidYet), "not valid yet"),
            (
                invalid(CertificateError::NotValidYetContext { time, not_before: time }),
                "not valid yet",
            ),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "the_key"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "refuses our certificate"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "refuses our certificate"),
            (Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not offer TLS"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2"),
            (
                Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "TLS 1.2",
            ),
        ];
        for (error, words) in &table {
            for text in [error.to_string(), format!("{error:?}")] {
                let said =
                    explain(&text, &NAMES).unwrap_or_else(|| panic!("{text} is not explained"));
                assert_eq!(said.kind(), FaultKind::Insecure, "{text}");
                assert!(said.to_do().is_some(), "{text}: {said}");
                assert!(said.to_string().contains(words), "{text}: {said}");
            }
        }
        assert_eq!(
            explain(&Error::Other(OtherError(Arc::new(std::fmt::Error))).to_string(), &NAMES),
            None
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let text = dir.path().join("text.pem");
        std::fs::write(&text, "no PEM").expect("a file");
        let files =
            |authorities: Option<&Path>, certificate: Option<&Path>, key: Option<&Path>| Files {
                authorities: authorities.map(Path::to_owned),
                certificate: certificate.map(Path::to_owned),
                key: key.map(Path::to_owned),
            };
        let table = [
            (
                files(Some(Path::new("/nowhere.pem")), None, None),
                "the_ca: /nowhere.pem: there is no such file",
            ),
            (files(Some(&text), None, None), "expected PEM"),
            (files(Some(Path::new(SYSTEM)), Some(&text), None), "the_cert needs the_key"),
            (files(Some(Path::new(SYSTEM)), None, Some(&text)), "the_key needs the_cert"),
            (files(None, Some(&text), Some(&text)), "the_cert: "),
        ];
        for (files, words) in &table {
            let error = client(Verify::AuthorityAndName, files, &NAMES)
                .expect_err("a file that cannot be used");
            // A machine without authorities of its own says that first.
            let error = error.to_string();
            assert!(error.contains(words) || error.contains("install ca-certificates"), "{error}");
        }
    }
}
