//! The command line as a grammar: every command and flag, what each takes, and nothing of what they do.

mod data;
mod node;
mod root;

pub(super) use data::{Consistency, ConsumeArguments, OnTrimmedArgument, OrderArgument, ProduceArguments};
pub(super) use node::{
    CertCommand, ClockCommand, ClusterCommand, ConfigCommand, ConfigSource, DevArguments, DoctorArguments,
    GroupCommand, Partitioning, ServeArguments, ShardCommand, TemplateArguments, TopicCommand,
    TopicCreateArguments, WatchArguments,
};
pub(super) use root::{Arguments, Command, Common};
