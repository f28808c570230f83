//! `POST /containers/create`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Config, HostConfig};
use crate::network::EndpointSettings;

/// What a container shall be. On the wire the members of `Config` stand beside `HostConfig` and `NetworkingConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateRequest {
    /// What does not depend on the host.
    pub config: Config,
    /// What does.
    pub host_config: HostConfig,
    /// Endpoints.
    pub networking_config: NetworkingConfig,
}

/// The two members beside those of `Config`.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Beside {
    host_config: Option<HostConfig>,
    networking_config: Option<NetworkingConfig>,
}

impl CreateRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// The body is no JSON or a member has a wrong type.
    pub fn from_slice(json: &[u8]) -> Result<Self, serde_json::Error> {
        let value: serde_json::Value = serde_json::from_slice(json)?;
        let beside: Beside = crate::decode::from_value(value.clone())?;
        Ok(Self {
            config: crate::decode::from_value(value)?,
            host_config: beside.host_config.unwrap_or_default(),
            networking_config: beside.networking_config.unwrap_or_default(),
        })
    }
}

impl Serialize for CreateRequest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire<'a> {
            #[serde(flatten)]
            config: &'a Config,
            #[serde(rename = "HostConfig")]
            host_config: &'a HostConfig,
            #[serde(rename = "NetworkingConfig")]
            networking_config: &'a NetworkingConfig,
        }
        let Self {
            config,
            host_config,
            networking_config,
        } = self;
        Wire {
            config,
            host_config,
            networking_config,
        }
        .serialize(s)
    }
}

/// Endpoints of a new container, by name of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkingConfig {
    /// A null value stands for no wishes.
    pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
}

/// Reply of `POST /containers/create`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct CreateResponse {
    /// Id of the new container.
    pub id: String,
    /// What was accepted but has no effect, or may surprise.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_parts_are_read_from_one_object_and_written_as_one() {
        let json = br#"{"Image":"busybox","Cmd":["true"],"Tty":null,"Volumes":{"/data":{}},
            "HostConfig":{"Binds":null,"PortBindings":{"80/tcp":[{"HostPort":"8080"}],"81/tcp":null},"Memory":4096,
              "ConsoleSize":[24,80],"Ulimits":[{"Name":"nofile","Soft":1,"Hard":2}]},
            "NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}"#;
        let request = CreateRequest::from_slice(json).unwrap();
        assert_eq!(request.config.cmd, Some(vec!["true".to_owned()]));
        assert_eq!(request.host_config.memory, 4096);
        assert_eq!(
            request.host_config.port_bindings.as_ref().unwrap()["81/tcp"],
            None
        );
        assert_eq!(request.networking_config.endpoints_config["bridge"], None);
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(CreateRequest::from_slice(&again).unwrap(), request);
    }

    #[test]
    fn nothing_given_shows_dockers_nulls() {
        let value = serde_json::to_value(CreateRequest::default()).unwrap();
        assert!(value["Volumes"].is_null() && value["HostConfig"]["Binds"].is_null());
        assert!(value["HostConfig"]["Ulimits"].is_null() && value["HostConfig"]["PidsLimit"].is_null());
        assert!(value.get("ExposedPorts").is_none() && value["HostConfig"].get("Mounts").is_none());
    }
}
