//! A port of a service.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::shorthand::{Shorthand, read};

/// A port on which a service listens. `3000` is short for `{"port": 3000}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port on the host.
    pub port: u16,
    /// The port inside the container, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_port: Option<u16>,
    /// Which container of the service listens; needed where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Transport protocol.
    pub proto: Proto,
    /// Where it listens: `local` (loopback), `any`, or the name of a network.
    pub bind: String,
    /// Reachable from outside the service's own containers. A port that is not takes no port of the host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publish: bool,
}

impl Port {
    /// A TCP port on loopback.
    pub fn local(port: u16) -> Self {
        PortFields { port, container_port: None, container: None, proto: Proto::Tcp, bind: local(), publish: true }
            .into()
    }

    /// The port on which the program itself listens.
    pub fn inner(&self) -> u16 {
        self.container_port.unwrap_or(self.port)
    }
}

/// The object form of a port.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PortObject")]
pub(crate) struct PortFields {
    /// The port on the host.
    #[schemars(range(min = 1))]
    port: u16,
    /// The port inside the container, where it differs.
    #[serde(default)]
    container_port: Option<u16>,
    /// Which container of the service listens; needed where there are several.
    #[serde(default)]
    container: Option<String>,
    /// Transport protocol.
    #[serde(default)]
    proto: Proto,
    /// Where it listens: `local` (loopback), `any`, or the name of a network.
    #[serde(default = "local")]
    bind: String,
    /// Reachable from outside the service's own containers. A port that is not takes no port of the host.
    #[serde(default = "yes")]
    publish: bool,
}

impl From<PortFields> for Port {
    fn from(fields: PortFields) -> Self {
        let PortFields { port, container_port, container, proto, bind, publish } = fields;
        Self { port, container_port, container, proto, bind, publish }
    }
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proto {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// Both, on the same number.
    Both,
}

impl Proto {
    /// Whether the two have a protocol in common.
    pub fn overlaps(self, other: Proto) -> bool {
        self == other || self == Proto::Both || other == Proto::Both
    }

    /// The word that messages and firewalls use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Both => "tcp and udp",
        }
    }
}

impl Shorthand for Port {
    const EXPECTING: &'static str = "a port number or {\"port\": NUMBER, ...}";
    type Full = PortFields;

    fn from_full(full: PortFields) -> Result<Self, String> {
        if full.port == 0 || full.container_port == Some(0) {
            return Err("a port is a number from 1 to 65535".into());
        }
        Ok(full.into())
    }

    fn from_number(number: u64) -> Result<Self, String> {
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Self::local(port)),
            _ => Err("a port is a number from 1 to 65535".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let object = generator.subschema_for::<PortFields>();
        json_schema!({
            "description": "A port on which a service listens. A plain number is a TCP port on loopback.",
            "oneOf": [{ "type": "integer", "minimum": 1, "maximum": 65535 }, object]
        })
    }
}

fn local() -> String {
    "local".into()
}

fn yes() -> bool {
    true
}
