//! Documents of the other tools, made from the same view of the fleet as the files of its hosts.

mod backup;
mod dns;
mod health;
mod inventory;
mod postgres;
mod secrets;
mod tunnel;

pub use backup::backup;
pub use dns::dns;
pub use health::{Vantage, health};
pub use inventory::inventory;
pub use postgres::postgres;
pub use secrets::{authority_secrets, controller_secrets, host_secrets};
pub(crate) use tunnel::tunnel_routes;
