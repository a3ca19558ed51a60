//! One setting's value, whatever its kind, and how it is read from TOML or from plain text.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde::ser::Serializer;

use super::Kind;
use super::units::{format_duration, format_size, parse_duration, parse_size};
use crate::types::NodeId;

/// A node of the cluster as the configuration lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeAddress {
    #[serde(serialize_with = "node_number")]
    pub id: NodeId,
    /// `host:port`, resolved when dialled.
    pub address: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn node_number<S: Serializer>(id: &NodeId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(id.0)
}

/// A value of any [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not given, and without a default.
    Unset,
    Text(String),
    Integer(u64),
    Duration(Duration),
    Size(u64),
    Switch(bool),
    Address(SocketAddr),
    Path(PathBuf),
    Nodes(Vec<NodeAddress>),
}

impl Value {
    /// Reads a value of `kind` from text, as the environment, `--set` and quoted TOML give it.
    pub(super) fn from_text(kind: Kind, text: &str) -> Result<Self, String> {
        match kind {
            Kind::Name => Ok(Self::Text(text.to_owned())),
            Kind::Choice { words, refused } => choose(text, words, refused),
            Kind::Integer { min, max } => {
                let number =
                    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a whole number"))?;
                within(number, &min, &max, u64::to_string).map(Self::Integer)
            }
            Kind::Duration { min, max } => {
                within(parse_duration(text)?, &min, &max, |d| format_duration(*d)).map(Self::Duration)
            }
            Kind::Size { min, max } => {
                within(parse_size(text)?, &min, &max, |n| format_size(*n)).map(Self::Size)
            }
            Kind::Switch => {
                text.parse().map(Self::Switch).map_err(|_| format!("{text:?} is not true or false"))
            }
            Kind::Address => text
                .parse()
                .map(Self::Address)
                .map_err(|_| format!("{text:?} is not an IP address and port, such as 127.0.0.1:7400")),
            Kind::Path if text.is_empty() => Err("the path is empty".into()),
            Kind::Path => Ok(Self::Path(PathBuf::from(text))),
            Kind::Nodes => text.split(',').map(node_from_text).collect::<Result<_, _>>().map(Self::Nodes),
        }
    }

    /// As JSON, for `config show`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Unset => serde_json::Value::Null,
            Self::Integer(number) => (*number).into(),
            Self::Switch(on) => (*on).into(),
            Self::Nodes(nodes) => serde_json::to_value(nodes).expect("node addresses are plain data"),
            other => other.to_string().into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("(unset)"),
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Duration(duration) => f.write_str(&format_duration(*duration)),
            Self::Size(bytes) => f.write_str(&format_size(*bytes)),
            Self::Switch(on) => on.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Nodes(nodes) => {
                let texts: Vec<_> = nodes.iter().map(|n| format!("{}={}", n.id, n.address)).collect();
                f.write_str(&texts.join(","))
            }
        }
    }
}

fn choose(text: &str, words: &[&str], refused: &[(&str, &str)]) -> Result<Value, String> {
    if words.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let reason = refused.iter().find(|(word, _)| *word == text).map(|(_, reason)| *reason);
    Err(reason.map_or_else(
        || format!("{text:?} is not a choice; there are: {}", words.join(", ")),
        |reason| format!("{text:?} {reason}"),
    ))
}

fn within<T: PartialOrd>(value: T, min: &T, max: &T, show: impl Fn(&T) -> String) -> Result<T, String> {
    if value < *min || value > *max {
        return Err(format!("{} is out of bounds: from {} to {}", show(&value), show(min), show(max)));
    }
    Ok(value)
}

fn node_from_text(text: &str) -> Result<NodeAddress, String> {
    let malformed = || format!("{text:?} is not ID=HOST:PORT, such as 1=127.0.0.1:7400");
    let (id, address) = text.trim().split_once('=').ok_or_else(malformed)?;
    let id = id.trim().parse().ok().filter(|id| *id > 0).ok_or_else(malformed)?;
    Ok(NodeAddress { id: NodeId(id), address: check_host_port(address.trim())? })
}

/// Accepts `host:port` with a port that is a number above 0.
pub(super) fn check_host_port(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
    match port {
        Some(1..=u16::MAX) => Ok(text.to_owned()),
        _ => Err(format!("{text:?} is not HOST:PORT, such as 127.0.0.1:7400")),
    }
}
