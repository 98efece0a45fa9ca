//! Connections to the databases of one cluster.

use std::net::IpAddr;
use std::time::Duration;

use contract::document::{PgCluster, PgTls};
use serde::de::DeserializeOwned;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, config::SslMode};

use crate::error::Error;
use crate::tls::Connector;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// What every session begins with: nothing of the cluster's own settings may change what our statements mean, and no lock
/// of another session may stop us for ever.
const BEGIN: &str = "SET search_path = pg_catalog; SET standard_conforming_strings = on; SET lock_timeout = '30s'; \
                     SET client_min_messages = warning";

/// How the databases of a cluster are reached.
pub(crate) struct Target {
    config: Config,
    tls: Option<Connector>,
    /// What it is called in errors.
    pub place: String,
    /// The role that connects.
    pub role: String,
    /// The database in which locks are taken and ownership is remembered.
    pub maintenance: String,
}

/// A connection to one database.
pub(crate) struct Connection {
    client: Client,
}

impl Target {
    /// From the document; `password` is the value of the secret that it names.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub(crate) fn new(cluster: &PgCluster, password: Option<&[u8]>) -> Result<Self, Error> {
        let mut config = Config::new();
        config.application_name("plumbline").connect_timeout(CONNECT);
        if let Some(tcp) = &cluster.tcp {
            let place = format!("{}:{}", tcp.host, tcp.port);
            config.host(&tcp.host).port(tcp.port).user(&tcp.user);
            if let Some(password) = password {
                config.password(password);
            }
            let tls = if tcp.tls == PgTls::Disable {
                config.ssl_mode(SslMode::Disable);
                None
            } else {
                config.ssl_mode(SslMode::Require);
                let connector = Connector::new(tcp.tls, tcp.ca.as_deref());
                Some(connector.map_err(|cause| Error::Tls { place: place.clone(), cause })?)
            };
            return Ok(Self { config, tls, place, role: tcp.user.clone(), maintenance: tcp.database.clone() });
        }
        let socket = cluster.socket.clone().unwrap_or_default();
        config.host_path(&socket.directory).port(socket.port).user(&socket.user).ssl_mode(SslMode::Disable);
        let place = format!("{}/.s.PGSQL.{}", socket.directory.trim_end_matches('/'), socket.port);
        Ok(Self { config, tls: None, place, role: socket.user, maintenance: "postgres".into() })
    }

    /// Connects to a database.
    ///
    /// # Errors
    /// Where the server is not there or does not let us in.
    pub(crate) async fn connect(&self, database: &str) -> Result<Connection, Error> {
        let mut config = self.config.clone();
        config.dbname(database);
        let connecting = async {
            match &self.tls {
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    Ok(client)
                }
            }
        };
        let client = tokio::time::timeout(CONNECT * 2, connecting)
            .await
            .map_err(|_| Error::Timeout { place: self.place.clone() })?
            .map_err(|error: tokio_postgres::Error| Error::connecting(&self.place, &self.role, &error))?;
        let connection = Connection { client };
        connection.run("the begin of a session", BEGIN).await?;
        Ok(connection)
    }
}

impl Connection {
    /// Runs statements; `doing` says in errors what they are for, since their text may hold a verifier.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn run(&self, doing: &str, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await.map_err(|error| Error::statement(doing, &error))
    }

    /// The first column of the first row, as text.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn text(&self, doing: &str, sql: &str) -> Result<Option<String>, Error> {
        let messages = self.client.simple_query(sql).await.map_err(|error| Error::statement(doing, &error))?;
        Ok(messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }

    /// The first column of the first row, which is JSON.
    ///
    /// # Errors
    /// What the server says, or an answer that does not read.
    pub(crate) async fn json<T: DeserializeOwned>(&self, doing: &str, sql: &str) -> Result<T, Error> {
        let text = self.text(doing, sql).await?.unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| Error::Answer { doing: doing.into(), cause: error.to_string() })
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// Whether a host is this machine, where a connection without TLS goes over no wire.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
