//! The drivers without a link of their own: `host` (the host's own namespace) and `null` (nothing but `lo`).

use crate::driver::Gone;
use crate::{Driver, EndpointPlan, Error, NetworkPlan, Sandbox};

/// The host's own network.
#[derive(Debug, Default)]
pub struct Host;

/// No network.
#[derive(Debug, Default)]
pub struct Null;

macro_rules! plain {
    ($driver:ty, $name:literal) => {
        impl Driver for $driver {
            fn name(&self) -> &'static str {
                $name
            }
            fn create_network(&self, _: &NetworkPlan) -> Result<(), Error> {
                Ok(())
            }
            fn delete_network(&self, _: &NetworkPlan) -> Result<(), Error> {
                Ok(())
            }
            fn join(&self, _: &EndpointPlan, _: &Sandbox) -> Result<(), Error> {
                Ok(())
            }
            fn leave(&self, _: &EndpointPlan, gone: Gone) -> Result<(), Error> {
                gone();
                Ok(())
            }
        }
    };
}

plain!(Host, "host");
plain!(Null, "null");
