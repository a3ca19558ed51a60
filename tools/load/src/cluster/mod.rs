//! A Timberline cluster under load, through the public client alone.
//!
//! `dev` starts nodes in this process if asked, `topic` connects and makes the topic, `appends` writes, `visible` follows
//! merged and says when records could be read, `replay` fills it and reads all again and again.

mod appends;
mod dev;
mod replay;
mod topic;
mod visible;

pub(crate) use dev::DevCluster;
pub(crate) use replay::{Replayed, fill, replay};
pub(crate) use topic::{Cluster, Reach, TopicShape};
pub(crate) use visible::Follower;
