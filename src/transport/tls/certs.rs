//! Certificates for a development cluster: one CA, one certificate a node, one for clients.
//!
//! Knows nothing of connections. Keys are ECDSA P-256 and readable by their owner alone. Everything is valid for
//! ten years, because a development cluster that dies of an expired certificate teaches nothing; in production,
//! issue shorter ones from your own CA with the same names.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::UnixTime;

use super::config::{ANY_NODE_NAME, server_name};
use crate::transport::Error;
use crate::types::NodeId;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const VALID_DAYS: u32 = 3650;

/// What [`init_certs`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertReport {
    pub files: Vec<PathBuf>,
    /// How long every certificate is valid from now.
    pub valid_days: u32,
}

/// Makes a development CA, a certificate for each of the nodes 1 to `nodes`, and one for clients, in a new or
/// empty folder: `ca.pem`, `ca.key`, `node-N.pem`, `node-N.key`, `client.pem`, `client.key`.
pub fn init_certs(dir: &Path, nodes: u64) -> Result<CertReport, Error> {
    let write_error = |source| Error::Write { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(write_error)?;
    if fs::read_dir(dir).map_err(write_error)?.next().is_some() {
        return Err(Error::FolderNotEmpty { path: dir.to_owned() });
    }
    // A name of its own, so that two clusters' CAs are told apart.
    let authority = Authority::generate(&format!("timberline development CA {:08x}", rand::random::<u32>()))?;
    let mut folder = CertFolder { dir, files: Vec::new() };
    folder.write("ca", &authority.certificate_pem, &authority.issuer.key().serialize_pem())?;
    for node in 1..=nodes {
        let name = format!("node-{node}");
        let (certificate, key) = authority.issue(&name, Some(NodeId(node)), Validity::ten_years())?;
        folder.write(&name, &certificate, &key)?;
    }
    let (certificate, key) = authority.issue("client", None, Validity::ten_years())?;
    folder.write("client", &certificate, &key)?;
    Ok(CertReport { files: folder.files, valid_days: VALID_DAYS })
}

/// From when to when a certificate holds.
#[derive(Clone, Copy)]
pub(in crate::transport) struct Validity {
    pub(in crate::transport) from: SystemTime,
    pub(in crate::transport) to: SystemTime,
}

impl Validity {
    /// Starts a day early, for machines whose clocks are behind this one's.
    pub(in crate::transport) fn ten_years() -> Self {
        let now = UNIX_EPOCH + Duration::from_secs(UnixTime::now().as_secs());
        Self { from: now - DAY, to: now + DAY * VALID_DAYS }
    }
}

/// A CA that issues certificates.
pub(in crate::transport) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(in crate::transport) certificate_pem: String,
}

impl Authority {
    pub(in crate::transport) fn generate(name: &str) -> Result<Self, Error> {
        let mut params = params(name, Validity::ten_years());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(generate_error)?;
        let certificate_pem = params.self_signed(&key).map_err(generate_error)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// A certificate and its key, both PEM, with the common name `name`; for a node, usable as server.
    pub(in crate::transport) fn issue(
        &self,
        name: &str,
        node: Option<NodeId>,
        validity: Validity,
    ) -> Result<(String, String), Error> {
        let mut params = params(name, validity);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(node) = node {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            let names = [server_name(node), ANY_NODE_NAME.into(), "localhost".into(), "127.0.0.1".into()];
            params.subject_alt_names =
                CertificateParams::new(names).map_err(generate_error)?.subject_alt_names;
        }
        let key = KeyPair::generate().map_err(generate_error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(generate_error)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn params(name: &str, validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = validity.from.into();
    params.not_after = validity.to.into();
    params
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn generate_error(error: rcgen::Error) -> Error {
    Error::Generate(error.to_string())
}

pub(in crate::transport) struct CertFolder<'a> {
    pub(in crate::transport) dir: &'a Path,
    pub(in crate::transport) files: Vec<PathBuf>,
}

impl CertFolder<'_> {
    pub(in crate::transport) fn write(
        &mut self,
        stem: &str,
        certificate: &str,
        key: &str,
    ) -> Result<(), Error> {
        self.write_file(&format!("{stem}.pem"), certificate, 0o644)?;
        self.write_file(&format!("{stem}.key"), key, 0o600)
    }

    fn write_file(&mut self, name: &str, text: &str, mode: u32) -> Result<(), Error> {
        let path = self.dir.join(name);
        create_file(&path, text, mode).map_err(|source| Error::Write { path: path.clone(), source })?;
        self.files.push(path);
        Ok(())
    }
}

fn create_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::transport::Identity;

    #[test]
    fn made_certificates_load_and_their_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        let report = init_certs(&certs, 2).unwrap();
        assert_eq!(report.files.len(), 8);
        for file in report.files.iter().filter(|f| f.extension().is_some_and(|e| e == "key")) {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
        }
        Identity::node(&certs, NodeId(1)).unwrap();
        Identity::node(&certs, NodeId(2)).unwrap();
        Identity::client(&certs).unwrap();
    }

    #[test]
    fn a_folder_that_holds_anything_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("precious"), "x").unwrap();
        let error = init_certs(dir.path(), 1).unwrap_err();
        assert!(matches!(error, Error::FolderNotEmpty { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
