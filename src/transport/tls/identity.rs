//! Who this process is: a certificate, its key and the CA it trusts, proved before any socket exists.
//!
//! Knows nothing of connections. An `Identity` has a certificate that is valid now, is signed by the CA beside it,
//! belongs to its key, and carries the name asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::config::{common_name, provider};
use crate::transport::Error;
use crate::types::NodeId;

/// A certificate with its key, and the CA that peers must be signed by.
pub struct Identity {
    pub(in crate::transport) name: String,
    pub(in crate::transport) chain: Vec<CertificateDer<'static>>,
    pub(in crate::transport) key: PrivateKeyDer<'static>,
    pub(in crate::transport) roots: Arc<RootCertStore>,
}

impl Identity {
    /// Loads `ca.pem`, `node-N.pem` and `node-N.key`.
    pub fn node(certs_dir: &Path, node: NodeId) -> Result<Self, Error> {
        Self::load(certs_dir, &format!("node-{node}"))
    }

    /// Loads `ca.pem`, `client.pem` and `client.key`.
    pub fn client(certs_dir: &Path) -> Result<Self, Error> {
        Self::load(certs_dir, "client")
    }

    /// The common name in the certificate.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn load(dir: &Path, stem: &str) -> Result<Self, Error> {
        let ca_file = CertFile::new(dir, "ca.pem");
        let certificate_file = CertFile::new(dir, &format!("{stem}.pem"));
        let identity = Self::read(dir, stem)?;
        for root in ca_file.certificates()? {
            ca_file.check_dates(&root)?;
        }
        let certificate = &identity.chain[0];
        certificate_file.check_dates(certificate)?;
        if identity.name != stem && !(stem == "client" && identity.name.starts_with("client-")) {
            let problem = format!("it is named `{}`, not `{stem}`", identity.name);
            return Err(certificate_file.refuse(&problem, "put the right file here"));
        }
        identity.check_signature(&certificate_file)?;
        identity.check_key(&CertFile::new(dir, &format!("{stem}.key")))?;
        Ok(identity)
    }

    /// Reads the files without judging them, but for their form.
    pub(in crate::transport) fn read(dir: &Path, stem: &str) -> Result<Self, Error> {
        let ca_file = CertFile::new(dir, "ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in ca_file.certificates()? {
            roots.add(certificate).map_err(|error| ca_file.refuse(&error.to_string(), REMAKE))?;
        }
        let certificate_file = CertFile::new(dir, &format!("{stem}.pem"));
        let chain = certificate_file.certificates()?;
        let key = CertFile::new(dir, &format!("{stem}.key")).key()?;
        let name = common_name(&chain[0]).ok_or_else(|| certificate_file.refuse("it has no name", REMAKE))?;
        Ok(Self { name, chain, key, roots: Arc::new(roots) })
    }

    fn check_signature(&self, file: &CertFile) -> Result<(), Error> {
        let refuse = |error: &dyn std::error::Error| {
            file.refuse(&format!("it does not hold under the ca.pem beside it ({error})"), REMAKE)
        };
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider())
            .build()
            .map_err(|error| refuse(&error))?;
        verifier
            .verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now())
            .map_err(|error| refuse(&error))?;
        Ok(())
    }

    fn check_key(&self, file: &CertFile) -> Result<(), Error> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider())
            .map(|_| ())
            .map_err(|error| file.refuse(&format!("it is not the key of the certificate ({error})"), REMAKE))
    }
}

/// For how long a certificate still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateTerm {
    pub path: PathBuf,
    pub left: Duration,
    /// Its last moment, in words.
    pub until: String,
}

/// The terms of all certificates in a folder (`*.pem`), by name; an error for each that does not hold now, or for the folder.
pub fn certificate_terms(dir: &Path) -> Vec<Result<CertificateTerm, Error>> {
    let names = fs::read_dir(dir).and_then(|entries| {
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.collect::<std::io::Result<Vec<String>>>()
    });
    let mut names = match names {
        Ok(names) => names,
        Err(error) => {
            let problem = format!("cannot be read: {error}");
            let (path, advice) = (dir.to_owned(), "name the folder that holds the certificates".to_owned());
            return vec![Err(Error::Certificate { path, problem, advice })];
        }
    };
    names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "pem"));
    names.sort_unstable();
    let term = |name: &String| {
        let file = CertFile::new(dir, name);
        file.term(&file.certificates()?[0])
    };
    names.iter().map(term).collect()
}

const REMAKE: &str = "make a new set with `timberline cert init --dir NEW_FOLDER --nodes N`, \
                      or put back the right file";

struct CertFile {
    dir: PathBuf,
    path: PathBuf,
}

impl CertFile {
    fn new(dir: &Path, name: &str) -> Self {
        Self { dir: dir.to_owned(), path: dir.join(name) }
    }

    fn refuse(&self, problem: &str, advice: &str) -> Error {
        Error::Certificate { path: self.path.clone(), problem: problem.to_owned(), advice: advice.to_owned() }
    }

    fn bytes(&self) -> Result<Vec<u8>, Error> {
        fs::read(&self.path).map_err(|error| {
            let advice = format!(
                "run `timberline cert init --dir {} --nodes N` for development certificates, \
                 or name the folder that holds them",
                self.dir.display()
            );
            self.refuse(&format!("cannot be read: {error}"), &advice)
        })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(&self.bytes()?)
                .collect::<Result<_, _>>()
                .map_err(|error| self.refuse(&format!("not a PEM certificate: {error}"), REMAKE))?;
        if certificates.is_empty() {
            return Err(self.refuse("holds no PEM certificate", REMAKE));
        }
        Ok(certificates)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?)
            .map_err(|error| self.refuse(&format!("not a PEM private key: {error}"), REMAKE))
    }

    fn check_dates(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        self.term(certificate).map(drop)
    }

    /// How long the certificate still holds, if it does now.
    fn term(&self, certificate: &CertificateDer<'_>) -> Result<CertificateTerm, Error> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| self.refuse(&format!("not an X.509 certificate: {error}"), REMAKE))?;
        let now = i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX);
        let validity = parsed.validity();
        if now > validity.not_after.timestamp() {
            return Err(self.refuse(&format!("expired on {}", validity.not_after), REMAKE));
        }
        if now < validity.not_before.timestamp() {
            let problem = format!("not valid before {}", validity.not_before);
            return Err(self.refuse(&problem, "correct this machine's clock, or put back the right file"));
        }
        let left_s = u64::try_from(validity.not_after.timestamp() - now).unwrap_or(0);
        Ok(CertificateTerm {
            path: self.path.clone(),
            left: Duration::from_secs(left_s),
            until: validity.not_after.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::transport::init_certs;
    use crate::transport::tls::{Authority, CertFolder, Validity};

    const HOUR: Duration = Duration::from_secs(3600);

    fn refusal(dir: &Path) -> String {
        Identity::node(dir, NodeId(1)).err().expect("refused").to_string()
    }

    fn write_node_1(dir: &Path, validity: Validity) {
        let authority = Authority::generate("test CA").unwrap();
        fs::write(dir.join("ca.pem"), &authority.certificate_pem).unwrap();
        let (certificate, key) = authority.issue("node-1", Some(NodeId(1)), validity).unwrap();
        CertFolder { dir, files: Vec::new() }.write("node-1", &certificate, &key).unwrap();
    }

    #[test]
    fn a_missing_file_is_named_with_the_command_that_makes_it() {
        let dir = tempfile::tempdir().unwrap();
        let message = refusal(dir.path());
        assert!(message.contains("ca.pem") && message.contains("timberline cert init --dir"), "{message}");
    }

    #[test]
    fn expired_and_not_yet_valid_certificates_are_refused_with_file_and_date() {
        let now = SystemTime::now();
        let dir = tempfile::tempdir().unwrap();
        write_node_1(dir.path(), Validity { from: now - HOUR * 2, to: now - HOUR });
        let message = refusal(dir.path());
        assert!(message.contains("node-1.pem") && message.contains("expired on"), "{message}");

        let dir = tempfile::tempdir().unwrap();
        write_node_1(dir.path(), Validity { from: now + HOUR, to: now + HOUR * 2 });
        let message = refusal(dir.path());
        assert!(message.contains("node-1.pem") && message.contains("not valid before"), "{message}");
    }

    #[test]
    fn the_terms_of_a_folder_name_each_certificate_and_what_is_wrong_with_it() {
        let now = SystemTime::now();
        let dir = tempfile::tempdir().unwrap();
        write_node_1(dir.path(), Validity { from: now - HOUR, to: now + HOUR * 2 });
        let terms = certificate_terms(dir.path());
        let [Ok(ca), Ok(node)] = &terms[..] else { panic!("two certificates and no key: {terms:?}") };
        assert!(ca.path.ends_with("ca.pem") && ca.left > HOUR * 24 * 3600);
        assert!(node.path.ends_with("node-1.pem") && node.left > HOUR && node.left <= HOUR * 2);
        fs::write(dir.path().join("node-1.pem"), "no certificate").unwrap();
        let terms = certificate_terms(dir.path());
        assert!(terms[0].is_ok() && terms[1].as_ref().unwrap_err().to_string().contains("node-1.pem"));
        assert!(certificate_terms(&dir.path().join("nowhere"))[0].is_err());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        init_certs(dir.path(), 2).unwrap();
        fs::copy(dir.path().join("node-2.key"), dir.path().join("node-1.key")).unwrap();
        let message = refusal(dir.path());
        assert!(message.contains("node-1.key") && message.contains("not the key"), "{message}");
    }

    #[test]
    fn a_certificate_of_another_name_or_another_ca_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        init_certs(dir.path(), 2).unwrap();
        fs::copy(dir.path().join("node-2.pem"), dir.path().join("node-1.pem")).unwrap();
        assert!(refusal(dir.path()).contains("named `node-2`"));

        let other = tempfile::tempdir().unwrap();
        init_certs(other.path(), 1).unwrap();
        fs::copy(other.path().join("node-1.pem"), dir.path().join("node-1.pem")).unwrap();
        fs::copy(other.path().join("node-1.key"), dir.path().join("node-1.key")).unwrap();
        assert!(refusal(dir.path()).contains("ca.pem beside it"));
    }

    #[test]
    fn rubbish_in_any_file_is_refused_without_panic() {
        for file in ["ca.pem", "node-1.pem", "node-1.key"] {
            let dir = tempfile::tempdir().unwrap();
            init_certs(dir.path(), 1).unwrap();
            fs::write(
                dir.path().join(file),
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            )
            .unwrap();
            assert!(refusal(dir.path()).contains(file), "{file}");
        }
    }
}
