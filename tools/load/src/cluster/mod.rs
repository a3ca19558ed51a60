//! A Timberline cluster under load, through the public client alone.
//!
//! `dev` starts nodes in this process if asked, `served` in processes of their own, one of which `slow` holds up, `topic` connects and makes the topic, `appends` writes, `visible` follows
//! merged and says when records could be read, `replay` fills it and reads all again and again.

mod appends;
mod dev;
mod replay;
mod served;
mod slow;
mod topic;
mod visible;

pub(crate) use dev::DevCluster;
pub(crate) use replay::{Replayed, fill, replay};
pub(crate) use served::{PROGRAM, ServedCluster};
pub(crate) use slow::Pauses;
pub(crate) use topic::{Cluster, Reach, TopicShape};
pub(crate) use visible::Follower;
