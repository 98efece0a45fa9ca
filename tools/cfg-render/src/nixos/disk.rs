//! The disk that an installation lays out (disko), and what starts the kernel.

use super::builder::NixosBuilder;
use crate::fleet::{Bootloader, Disk, DiskLayout, Filesystem};
use crate::format::nix::Nix;

const MODULE: &str = "disk";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    if let Some(disk) = &host.spec.disk {
        layout(builder, disk);
        // What servers and virtual machines have; a machine with another controller names its module itself.
        let drivers = [
            "ahci",
            "ata_piix",
            "nvme",
            "sd_mod",
            "sr_mod",
            "uhci_hcd",
            "virtio_blk",
            "virtio_net",
            "virtio_pci",
            "virtio_scsi",
            "xhci_pci",
        ];
        builder.option(MODULE, "boot.initrd.availableKernelModules", Nix::texts(drivers), &host.at("disk"));
    }
    bootloader(builder);
}

fn layout(builder: &mut NixosBuilder<'_, '_>, disk: &Disk) {
    let at = builder.host.at("disk");
    let mut partitions: Vec<(&str, Nix)> = Vec::new();
    let partition = |size: &str, kind: Option<&str>, content: Option<Nix>, priority: u64| {
        let mut keys = vec![("size", Nix::text(size)), ("priority", Nix::number(priority))];
        keys.extend(kind.map(|kind| ("type", Nix::text(kind))));
        keys.extend(content.map(|content| ("content", content)));
        Nix::set(keys)
    };
    if disk.layout != DiskLayout::Efi {
        partitions.push(("boot", partition("1M", Some("EF02"), None, 1)));
    }
    if disk.layout != DiskLayout::Bios {
        let content = Nix::set([
            ("type", Nix::text("filesystem")),
            ("format", Nix::text("vfat")),
            ("mountpoint", Nix::text("/boot")),
            ("mountOptions", Nix::texts(["umask=0077"])),
        ]);
        partitions.push(("esp", partition(&disk.esp_size, Some("EF00"), Some(content), 2)));
    }
    if let Some(size) = &disk.swap {
        partitions.push(("swap", partition(size, None, Some(Nix::set([("type", Nix::text("swap"))])), 3)));
    }
    let format = match disk.filesystem {
        Filesystem::Ext4 => "ext4",
        Filesystem::Xfs => "xfs",
        Filesystem::Btrfs => "btrfs",
    };
    let content =
        Nix::set([("type", Nix::text("filesystem")), ("format", Nix::text(format)), ("mountpoint", Nix::text("/"))]);
    partitions.push(("root", partition("100%", None, Some(content), 9000)));
    let value = Nix::set([
        ("type", Nix::text("disk")),
        ("device", Nix::text(&disk.device)),
        ("content", Nix::set([("type", Nix::text("gpt")), ("partitions", Nix::set(partitions))])),
    ]);
    builder.option(MODULE, "disko.devices.disk.main", value, &at);
}

fn bootloader(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let Some(loader) = host.spec.bootloader.or(host.spec.disk.as_ref().map(|_| Bootloader::Grub)) else { return };
    let at = if host.spec.bootloader.is_some() { host.at("bootloader") } else { host.at("disk") };
    match loader {
        Bootloader::Grub => {
            builder.option(MODULE, "boot.loader.grub.enable", Nix::Bool(true), &at);
            if let Some(disk) = &host.spec.disk {
                // Where there is a BIOS boot partition, disko names the device.
                let efi = disk.layout != DiskLayout::Bios;
                builder.option(MODULE, "boot.loader.grub.efiSupport", Nix::Bool(efi), &at);
                if efi {
                    // Hosters' firmware forgets its variables: the loader lies where every firmware looks.
                    builder.option(MODULE, "boot.loader.grub.efiInstallAsRemovable", Nix::Bool(true), &at);
                }
                if disk.layout == DiskLayout::Efi {
                    builder.option(MODULE, "boot.loader.grub.device", Nix::text("nodev"), &at);
                }
            }
        }
        Bootloader::SystemdBoot => {
            builder.option(MODULE, "boot.loader.systemd-boot.enable", Nix::Bool(true), &at);
            builder.option(MODULE, "boot.loader.efi.canTouchEfiVariables", Nix::Bool(true), &at);
        }
    }
}
