//! The commands, one file each, from arguments to rows on stdout.

mod arguments;
mod diff;
mod dump;
mod list;
mod order;
mod repair;
mod run;
mod stat;
mod verify;

pub use run::run;
