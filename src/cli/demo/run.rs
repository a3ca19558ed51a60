//! stub
use crate::cli::arguments::Common;
use crate::cli::failure::Failure;
pub(in crate::cli) fn demo(_c: &Common) -> Result<(), Failure> {
    Ok(())
}
