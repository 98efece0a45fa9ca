//! How a disk is laid out by an installation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a disk is laid out by an installation (NixOS, through disko). An installation erases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The device, such as `/dev/sda`.
    pub device: String,
    /// The partitions.
    #[serde(default)]
    pub layout: DiskLayout,
    /// Size of the EFI system partition, such as `512M`.
    #[serde(default = "mib_512")]
    pub esp_size: String,
    /// File system of the root partition.
    #[serde(default)]
    pub filesystem: Filesystem,
    /// Size of a swap partition, such as `2G`; none if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<String>,
}

/// The partitions of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskLayout {
    /// BIOS boot partition, EFI system partition, root: starts on both kinds of firmware.
    #[default]
    BiosEfi,
    /// EFI system partition, root.
    Efi,
    /// BIOS boot partition, root.
    Bios,
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// ext4.
    #[default]
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
}

/// What starts the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// GRUB.
    Grub,
    /// systemd-boot.
    SystemdBoot,
}

fn mib_512() -> String {
    "512M".into()
}
