//! Mechanisms of container networks: the drivers bridge, host and null; address management; the firewall table;
//! the binding of host ports.
//!
//! Everything here is synchronous and told what to do by argument: no configuration, no rows, no nouns of Docker but
//! network and endpoint. Names in the kernel carry the instance tag, see [`names`].
//! Start at [`Driver`], then [`bridge::Bridge`] and [`firewall::Firewall`].

pub mod bridge;
mod driver;
mod error;
pub mod firewall;
pub mod ipam;
pub mod names;
mod plain;
pub mod port;
mod reaper;
mod sandbox;

pub use driver::{Driver, EndpointPlan, Gone, NetworkPlan, Subnet};
pub use error::Error;
pub use plain::{Host, Null};
pub use port::{PortBinding, Protocol};
pub use sandbox::Sandbox;
