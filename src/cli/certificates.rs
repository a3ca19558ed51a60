//! `cert init`: the certificates of a development cluster.

use std::path::Path;

use serde::Serialize;

use super::failure::{Failure, Kind};
use super::output::{Format, Row, print_rows, say};
use crate::transport::{self, init_certs};

pub(super) fn init(dir: &Path, nodes: u64, format: Format) -> Result<(), Failure> {
    let report = init_certs(dir, nodes)?;
    let rows: Vec<_> = report.files.iter().map(|file| FileRow { file: file.display().to_string() }).collect();
    print_rows(format, &rows)?;
    say(&format!("valid for {} days; ca.key can make more: keep it away from the nodes", report.valid_days));
    Ok(())
}

impl From<transport::Error> for Failure {
    fn from(error: transport::Error) -> Self {
        let kind = match error {
            transport::Error::FolderNotEmpty { .. } => Kind::Conflict,
            _ => Kind::Failure,
        };
        Self::new(kind, error.to_string())
    }
}

#[derive(Serialize)]
struct FileRow {
    file: String,
}

impl Row for FileRow {
    fn titles() -> Vec<&'static str> {
        vec!["FILE"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        vec![vec![self.file.clone()]]
    }
    fn raw(&self) -> String {
        self.file.clone()
    }
}
