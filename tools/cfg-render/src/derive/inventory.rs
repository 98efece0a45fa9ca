//! `hosts.inventory`: where hosts are and how to reach them.

use contract::document::{Arch, HostsInventory, InventoryAddress, InventoryDatabase, InventoryHost};

use crate::fleet::PUBLIC;
use crate::model::{HostView, Model};

/// The inventory of a fleet.
pub fn inventory(model: &Model<'_>) -> HostsInventory {
    let order = &model.fleet.rollout.order;
    let place =
        |name: &str| order.iter().position(|step| step.iter().any(|host| host == name)).unwrap_or(order.len()) as u32;
    let mut hosts: Vec<_> = model.hosts().map(|host| entry(model, host, place(&host.name))).collect();
    hosts.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
    let databases = model.clusters().map(|cluster| {
        let run_on = model.manager_of(&cluster).map(|host| host.name.clone());
        (cluster.name.to_owned(), InventoryDatabase { run_on })
    });
    HostsInventory { hosts, databases: databases.collect() }
}

fn entry(model: &Model<'_>, host: &HostView, order: u32) -> InventoryHost {
    let ssh = host.ssh();
    let networks: Vec<&str> = if ssh.networks.is_empty() {
        let own = host.spec.addresses.keys().map(String::as_str).filter(|network| *network != PUBLIC);
        own.chain([PUBLIC]).collect()
    } else {
        ssh.networks.iter().map(String::as_str).collect()
    };
    let mut ips: Vec<_> = networks.iter().filter_map(|network| host.spec.addresses.get(*network)).flatten().collect();
    ips.dedup();
    let way = |port: u16, user: &str| {
        let user = user.to_owned();
        ips.iter()
            .map(move |ip| InventoryAddress { address: ip.to_string(), port, user: user.clone() })
            .collect::<Vec<_>>()
    };
    let mut addresses = way(ssh.port, &ssh.user);
    for address in way(ssh.initial.port, &ssh.initial.user) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    InventoryHost {
        name: host.name.clone(),
        os: host.os.to_string(),
        arch: host.spec.arch.unwrap_or(Arch::X86_64),
        addresses,
        host_keys: host.spec.host_keys.clone(),
        escalate: ssh.escalate,
        via: ssh.via.filter(|via| model.host(via).is_some()),
        order,
    }
}
