//! Pictures of the fleet: networks, dependencies, zones, secrets, backups, names and the way of a request.
