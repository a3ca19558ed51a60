//! stub
use super::Error;
use crate::types::NodeId;
use std::path::Path;
/// Who this process is: a certificate, its key, and the CA it trusts.
pub struct Identity;
impl Identity {
    /// Loads `ca.pem`, `node-N.pem`, `node-N.key`.
    pub fn node(_certs_dir: &Path, _node: NodeId) -> Result<Self, Error> {
        todo!()
    }
    /// Loads `ca.pem`, `client.pem`, `client.key`.
    pub fn client(_certs_dir: &Path) -> Result<Self, Error> {
        todo!()
    }
}
