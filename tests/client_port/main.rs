//! The port for clients, spoken to by bare QUIC: what no client of ours would send, and what clients of other builds sent.
//!
//! A real node on loopback. Strangers hold packets back, leave answers unread, open too much, and send bytes that mean nothing:
//! each meets a bound, and everybody else is served as before. Packets recorded of protocol 1 are understood by every build.

mod bounds;
mod garbage;
mod raw;
mod recorded;
mod stalls;
