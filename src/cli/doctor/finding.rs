//! What one check found: what was looked at, how that is, why, and what mends it. The field names are a contract.

use serde::Serialize;

use crate::cli::output::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Ok,
    /// It works, and somebody should know.
    Warning,
    Failure,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) result: Outcome,
    pub(super) reason: String,
    /// A command, where it mends or finds out more.
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { check: check.into(), result: Outcome::Ok, reason: reason.into(), fix: None }
    }

    pub(super) fn warning(
        check: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { result: Outcome::Warning, fix: Some(fix.into()), ..Self::ok(check, reason) }
    }

    pub(super) fn failure(
        check: impl Into<String>,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { result: Outcome::Failure, ..Self::warning(check, reason, fix) }
    }
}

impl Row for Finding {
    fn titles() -> Vec<&'static str> {
        vec!["RESULT", "CHECK", "REASON -> WHAT TO DO"]
    }
    fn cells(&self) -> Vec<Vec<String>> {
        let fix = self.fix.as_ref().map_or_else(String::new, |fix| format!(" -> {fix}"));
        vec![vec![self.result.as_str().to_owned(), self.check.clone(), format!("{}{fix}", self.reason)]]
    }
    fn raw(&self) -> String {
        self.result.as_str().to_owned()
    }
}
