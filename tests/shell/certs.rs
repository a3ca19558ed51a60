//! Certificates with Ed25519 keys: their signatures have one length, those of ECDSA have not, and a simulation that
//! is to be repeated must send datagrams of the same sizes.
//!
//! Otherwise the set is that of `cert init`. One set is made for all runs of this process.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};
use tempfile::TempDir;
use timberline::transport::Identity;
use timberline::types::NodeId;

const NODES: u64 = 3;

/// A node's identity.
pub(crate) fn node(node: u64) -> Identity {
    Identity::node(folder(), NodeId(node)).expect("a good certificate")
}

/// The clients' identity.
pub(crate) fn client() -> Identity {
    Identity::client(folder()).expect("a good certificate")
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| make().expect("a temporary folder takes certificates")).path()
}

fn make() -> Result<TempDir, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let mut authority = params("simulated CA", Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    fs::write(folder.path().join("ca.pem"), authority.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(authority, key);
    for node in 1..=NODES {
        let names = vec![format!("node-{node}.timberline.internal"), "timberline.internal".to_owned()];
        issue(folder.path(), &issuer, &format!("node-{node}"), names)?;
    }
    issue(folder.path(), &issuer, "client", Vec::new())?;
    Ok(folder)
}

fn issue(
    folder: &Path,
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    server_names: Vec<String>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut params = params(name, server_names)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    fs::write(folder.join(format!("{name}.pem")), params.signed_by(&key, issuer)?.pem())?;
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    Ok(())
}

fn params(name: &str, server_names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(server_names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
