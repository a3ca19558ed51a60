//! Whether the certificates at hand hold, and for how long.

use std::path::Path;
use std::time::Duration;

use super::finding::Finding;
use crate::transport::{CertificateTerm, Error};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SOON_DAYS: u64 = 30;

pub(super) fn checks(terms: &[Result<CertificateTerm, Error>]) -> Vec<Finding> {
    terms.iter().map(check).collect()
}

fn check(term: &Result<CertificateTerm, Error>) -> Finding {
    let remake = "timberline cert init --dir NEW_FOLDER --nodes N";
    let term = match term {
        Ok(term) => term,
        Err(error) => return Finding::failure("certificate", error.to_string(), remake),
    };
    let name = term.path.file_name().unwrap_or_default().to_string_lossy();
    let check = format!("certificate {name}");
    let days = term.left.as_secs() / DAY.as_secs();
    let folder = term.path.parent().unwrap_or(Path::new(".")).display();
    let reason = format!("valid for {days} days more, until {}; in {folder}", term.until);
    if days < SOON_DAYS { Finding::warning(check, reason, remake) } else { Finding::ok(check, reason) }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_warned_of_and_one_that_does_not_hold_is_a_failure() {
        let term = |days| {
            Ok(CertificateTerm {
                path: "certs/client.pem".into(),
                left: DAY * days,
                until: "some day".to_owned(),
            })
        };
        let refused = Error::Certificate {
            path: "certs/ca.pem".into(),
            problem: "expired".to_owned(),
            advice: "make a new one".to_owned(),
        };
        let checks = checks(&[term(29), term(30), Err(refused)]);
        let results: Vec<_> = checks.iter().map(|check| check.result).collect();
        assert_eq!(results, [Outcome::Warning, Outcome::Ok, Outcome::Failure]);
        assert!(checks[0].reason.contains("29 days") && checks[0].check == "certificate client.pem");
        assert!(checks[2].reason.contains("ca.pem") && checks[2].fix.is_some());
    }
}
